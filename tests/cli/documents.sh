#!/bin/sh
# Documents as inputs of `lode embed` and `lode match`: stand-ins for pdftotext and pandoc show how
# they are called and what becomes of their failures; the real ones, where installed, are used too.
. tests/tap.sh
mkdir "$work/bin" "$work/none" "$work/cvs" "$work/mixed" "$work/empty"
for p in pdftotext pandoc; do
    cat >"$work/bin/$p" <<'EOF'
#!/bin/sh
# The last argument (pdftotext) or what follows -o (pandoc) is written, as the input's first line says.
out= in=
for a in "$@"; do
    [ "${last:-}" = -o ] && out=$a
    before=${last:-} last=$a
done
case $0 in
*pdftotext) in=$before out=$last ;;
*) in=$last ;;
esac
read -r what <"$in"
case $what in
fail) echo "Syntax Warning: odd"; echo "Syntax Error: no pages" >&2; exit 3 ;;
bytes) printf 'a\377b' >"$out" ;;
blank) printf ' \n\n' >"$out" ;;
killed) kill -9 $$ ;;
*) printf 'A nurse with ten\nyears of night shifts.\n\nSpeaks German.\n' >"$out" ;;
esac
EOF
    chmod +x "$work/bin/$p"
done
for what in fail bytes blank killed fine; do echo $what >"$work/$what.pdf"; done
echo fail >"$work/fail.docx"
with() { # PATH-FOLDER ARGS...: run with only these programs
    folder=$1
    shift
    run env PATH="$folder" "$lode" "$@"
}
stand_ins="$work/bin:$PATH"
with "$work/none" embed "$work/fine.pdf"
says "no pdftotext" 10 'fine.pdf: is read through pdftotext, which is not installed .*poppler-utils'
with "$work/none" match "$work/fine.pdf" "$work/fail.docx"
says "no pandoc" 10 'fail.docx: is read through pandoc, which is not installed'
with "$stand_ins" embed "$work/fail.pdf"
says "pdftotext fails: its last word" 3 'fail.pdf: pdftotext ended with status 3: Syntax Error: no pages'
with "$stand_ins" embed "$work/fail.docx"
says "pandoc fails" 3 'fail.docx: pandoc ended with status 3'
with "$stand_ins" embed "$work/killed.pdf"
says "pdftotext is killed" 3 'killed.pdf: pdftotext ended with status 137: it says nothing'
with "$stand_ins" embed "$work/bytes.pdf"
says "what it writes is not UTF-8" 3 'bytes.pdf: not UTF-8'
with "$stand_ins" embed "$work/blank.pdf"
says "a scan" 3 'blank.pdf: has no text'
with "$stand_ins" embed "$work/gone.pdf"
says "no such file" 5 'gone.pdf: cannot be opened'
with "$stand_ins" embed "$work/empty"
says "an empty folder" 3 'a folder with 0 documents'
echo x >"$work/mixed/photo.jpg"
with "$stand_ins" embed "$work/mixed"
says "another kind in a folder" 3 'photo.jpg: lode reads a folder of .pdf'
with "$stand_ins" embed "$work/fine.pdf" --field body
says "a field that documents do not have" 3 'fine.pdf: line 1: there is no text in "body"'

"$lode" pull all-MiniLM-L6-v2 >/dev/null 2>&1 </dev/null || {
    skip "all-MiniLM-L6-v2" "it is not in the cache and cannot be fetched"
    tap_end
}
cp "$work/fine.pdf" "$work/cvs/anna.PDF"
echo "A gardener, and a beekeeper." >"$work/cvs/bob.txt"
echo hidden >"$work/cvs/.notes"
with "$stand_ins" embed "$work/cvs" --id id
is "a folder: a record for each file" "$(sed 's/,"vector.*//' "$work/out")" '{"index":0,"id":"anna.PDF"
{"index":1,"id":"bob.txt"'
printf 'id,text\n1,Night nurse wanted\n2,Beekeepers wanted\n' >"$work/jobs.csv"
with "$stand_ins" match "$work/cvs" "$work/jobs.csv" -k 1 --json
ok "a folder against a file" python3 - "$work/out" <<'EOF'
import json, sys
anna, bob = map(json.loads, open(sys.argv[1]))
assert (anna["id"], anna["matches"][0]["id"]) == ("anna.PDF", "1"), anna
assert (bob["id"], bob["matches"][0]["id"]) == ("bob.txt", "2"), bob
assert "nurse with ten years of" in anna["matches"][0]["passages"][0]["query"], anna
EOF
program=$(realpath "$lode")
(cd "$work" && cp fine.pdf ./-o.pdf && PATH="$stand_ins" "$program" embed -q -- -o.pdf >dash 2>&1)
ok "a name like an option" grep -q vector "$work/dash"

if command -v pandoc >/dev/null; then
    echo "Sehr geehrte Damen und Herren, ich bin Krankenpflegerin." | pandoc -f markdown -t docx -o "$work/real.docx"
    run "$lode" match "$work/real.docx" "$work/jobs.csv" --json
    ok "pandoc itself: DOCX" grep -q 'ich bin Krankenpflegerin' "$work/out"
    echo no >"$work/broken.docx"
    run "$lode" embed "$work/broken.docx"
    says "pandoc itself: no DOCX" 3 'broken.docx: pandoc ended with status'
else
    skip "pandoc itself" "it is not installed"
fi
if command -v pdftotext >/dev/null; then
    cat >"$work/real.pdf" <<'EOF'
%PDF-1.4
1 0 obj <</Type/Catalog/Pages 2 0 R>> endobj
2 0 obj <</Type/Pages/Kids[3 0 R]/Count 1>> endobj
3 0 obj <</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Resources<</Font<</F 5 0 R>>>>/Contents 4 0 R>> endobj
4 0 obj <</Length 75>> stream
BT /F 12 Tf 20 150 Td (A nurse with ten) Tj 0 -14 Td (years of nights) Tj ET
endstream endobj
5 0 obj <</Type/Font/Subtype/Type1/BaseFont/Helvetica>> endobj
trailer <</Root 1 0 R>>
EOF
    run "$lode" match "$work/real.pdf" "$work/jobs.csv" --json
    ok "pdftotext itself: PDF, its lines joined" grep -q 'A nurse with ten years of nights' "$work/out"
    echo no >"$work/broken.pdf"
    run "$lode" embed "$work/broken.pdf"
    says "pdftotext itself: no PDF" 3 'broken.pdf: pdftotext ended with status'
else
    skip "pdftotext itself" "it is not installed"
fi
tap_end
