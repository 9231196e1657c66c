"""Words of transcripts and how far two lists of them are apart (for bench/text and bench/transcribe)."""

import difflib
import re


def words(text):
    """Lower case, no punctuation, [remarks] dropped, mr = mister, hyphens part words."""
    text = re.sub(r"\[[^\]]*\]", " ", text).lower()
    text = text.replace("mr.", "mister").replace("-", " ")
    return re.sub(r"[^a-z0-9' ]", " ", text).replace("mr ", "mister ").split()


def distance(a, b):
    """Least number of words put in, left out or replaced to turn list a into list b."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def side_by_side(ours, theirs):
    """Lines 'ours | theirs' of the places where the lists differ, with a word around for the eye."""
    out = []
    for kind, i0, i1, j0, j1 in difflib.SequenceMatcher(None, ours, theirs, False).get_opcodes():
        if kind != "equal":
            a, b = " ".join(ours[i0:i1]), " ".join(theirs[j0:j1])
            out.append(f"    ..{' '.join(ours[max(0, i0 - 2):i0])} [{a} | {b}] {' '.join(ours[i1:i1 + 2])}..")
    return out
