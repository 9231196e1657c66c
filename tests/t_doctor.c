/* The doctor: every case of cases.txt (fake machine, fake driver, fake NVML) comes to its findings,
 * status and cure; every cure is right for its system and place; machines made of files are read as
 * recorded; hostile ones do no harm. `t_doctor page` prints docs/doctor.md's catalogue. */
#include "base/child.h"
#include "base/json.h"
#include "doctor/cases.h"
#include "doctor/derive.h"
#include "doctor/doctor.h"
#include "doctor/history.h"
#include "doctor/look.h"
#include "doctor/pci.h"
#include "doctor/recipe.h"
#include "doctor/report.h"
#include "unit.h"
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct place {
    struct arena *a;
    char folder[200], program[1200];
};

static int set_up(void **state)
{
    static struct place p;
    struct err e;
    assert_int_equal(arena_open("t_doctor", 0, &p.a, &e), 0);
    unit_folder(p.folder, sizeof p.folder);
    char *here = file_program_folder(p.a, &e);
    assert_non_null(here);
    snprintf(p.program, sizeof p.program, "%s/../lode", here);
    *state = &p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    arena_close(&p->a);
    unit_remove(p->folder);
    return 0;
}

static void ids_of(const struct doctor *d, char *out, size_t room)
{
    struct strbuf b;
    strbuf_init(&b, out, room);
    for (size_t i = 0; i < d->n; i++) strbuf_format(&b, "%s%s", i ? " " : "", d->found[i].row->id);
    if (d->n == 0) strbuf_text(&b, "none");
}

/* ---- the cases ---- */

static void every_case_comes_to_its_findings(void **state)
{
    struct place *p = *state;
    struct str rest = cases_text();
    struct cases_row row;
    int count = 0, wrong = 0;
    while (cases_next(&rest, &row)) {
        struct err e;
        struct doctor d;
        char ids[400], cure[4000] = "";
        struct strbuf b;
        arena_reset(p->a);
        if (doctor_replay(p->a, cases_text(), row.name, p->program, &d, &e)) {
            print_error("%s: %s\n", row.name, e.text);
            wrong++;
            continue;
        }
        ids_of(&d, ids, sizeof ids);
        strbuf_init(&b, cure, sizeof cure);
        if (d.n) finding_cure(&d.found[0], &d.facts, &b);
        bool right = strcmp(ids, row.find) == 0 && d.status == row.exit && strstr(cure, row.cure);
        if (!right)
            print_error("%s: status %d, wanted %d; found %s, wanted %s; the cure, wanted with "
                        "\"%s\":\n%s\n",
                        row.name, d.status, row.exit, ids, row.find, row.cure, cure);
        wrong += !right;
        count++;
    }
    assert_int_equal(wrong, 0);
    assert_true(count >= 60);
}

static void every_finding_has_a_case(void **state)
{
    (void)state;
    size_t n;
    int missing = 0;
    const struct finding_row *rows = finding_rows(&n);
    for (size_t i = 0; i < n; i++) {
        struct str rest = cases_text();
        struct cases_row row;
        bool shown = false;
        while (!shown && cases_next(&rest, &row)) {
            const char *at = strstr(row.find, rows[i].id);
            size_t m = strlen(rows[i].id);
            shown = at && (at == row.find || at[-1] == ' ') && (at[m] == 0 || at[m] == ' ');
        }
        if (!shown) print_error("%s: no case shows it\n", rows[i].id);
        missing += !shown;
        for (size_t k = 0; k < i; k++) assert_string_not_equal(rows[k].id, rows[i].id);
    }
    assert_int_equal(missing, 0);
}

/* ---- cures ---- */

static const char *const distros[] = {"debian", "ubuntu", "fedora", "arch", "other"};
static const char *const places[] = {"host", "wsl", "docker", "podman", "kubernetes", "lxc"};

static void say_cure(struct arena *a, const struct finding_row *row, const char *distro,
                     const char *where, struct strbuf *out)
{
    struct err e;
    struct facts f;
    assert_int_equal(facts_open(a, &f, &e), 0);
    facts_set(&f, "is distro", distro);
    facts_set(&f, "is place", where);
    finding_cure(&(struct finding){.row = row}, &f, out);
    assert_false(out->cut);
}

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* The package managers a text names are those of the system it is for. */
static void check_manager(const char *id, const char *text, const char *distro)
{
    bool apt = has(text, "apt ") || has(text, "apt-mark") || has(text, "dpkg ");
    bool dnf = has(text, "dnf ") || has(text, "rpm "), pacman = has(text, "pacman ");
    bool deb = strcmp(distro, "debian") == 0 || strcmp(distro, "ubuntu") == 0;
    bool right = (!apt || deb) && (!dnf || strcmp(distro, "fedora") == 0) &&
                 (!pacman || strcmp(distro, "arch") == 0) &&
                 (!has(text, "ubuntu-drivers install\nsudo") || strcmp(distro, "ubuntu") == 0) &&
                 (!has(text, "update-initramfs") || deb) &&
                 (!has(text, "dracut") || strcmp(distro, "fedora") == 0) &&
                 (!has(text, "mkinitcpio") || strcmp(distro, "arch") == 0);
    if (!right) print_error("%s on %s:\n%s\n", id, distro, text);
    assert_true(right);
}

/* What only the machine's owner can do is not advised inside a container or in WSL without saying
 * where. */
static void check_place(const char *id, const char *text, const char *where)
{
    bool box = strcmp(where, "host") != 0 && strcmp(where, "wsl") != 0;
    bool kernel = has(text, "modprobe") || has(text, "rmmod") || has(text, "sudo reboot") ||
                  has(text, "update-initramfs") || has(text, "mokutil");
    bool elsewhere =
        has(text, "on the host") || has(text, "on the machine itself") || has(text, "on the node");
    bool right = !(box && kernel && !elsewhere);
    right &= !(strcmp(where, "wsl") == 0 && kernel);
    if (!right) print_error("%s in %s:\n%s\n", id, where, text);
    assert_true(right);
}

static void every_cure_is_right_for_its_place(void **state)
{
    struct place *p = *state;
    char path[300];
    size_t n, count = 0;
    const struct finding_row *rows = finding_rows(&n);
    snprintf(path, sizeof path, "%s/cures.sh", p->folder);
    FILE *script = fopen(path, "w");
    assert_non_null(script);
    for (size_t i = 0; i < n; i++) {
        for (size_t d = 0; d < COUNT(distros); d++) {
            for (size_t w = 0; w < COUNT(places); w++) {
                char text[4000];
                struct strbuf b;
                arena_reset(p->a);
                strbuf_init(&b, text, sizeof text);
                say_cure(p->a, &rows[i], distros[d], places[w], &b);
                assert_true(b.n > 10);
                assert_false(has(text, "{module}") || has(text, "{branch}") ||
                             has(text, "{index}") || has(text, "{pid}") || has(text, "{pci}"));
                check_manager(rows[i].id, text, distros[d]);
                check_place(rows[i].id, text, places[w]);
                fprintf(script, "cure_%zu() {\n:\n%s\n}\n", count++, text);
            }
        }
    }
    fclose(script);
    const char *const shells[] = {"sh", "bash"};
    for (size_t i = 0; i < COUNT(shells); i++) {
        const char *const argv[] = {shells[i], "-n", path, NULL};
        struct child_end end;
        struct err e;
        assert_int_equal(child_run(p->a, argv, 60, 2000, &end, &e), 0);
        if (end.status) print_error("%s\n", end.output.p);
        assert_int_equal(end.status, 0);
    }
}

static void facts_cannot_put_commands_into_a_cure(void **state)
{
    struct place *p = *state;
    struct facts f;
    struct err e;
    size_t n;
    const struct finding_row *rows = finding_rows(&n);
    static const char *const keys[] = {"is module",
                                       "is library",
                                       "is branch",
                                       "is pci",
                                       "is pid",
                                       "is index",
                                       "/proc/sys/kernel/osrelease"};
    assert_int_equal(facts_open(p->a, &f, &e), 0);
    for (size_t i = 0; i < COUNT(keys); i++) facts_set(&f, keys[i], "1; rm -rf ~ $(id) `id`");
    facts_set(&f, "nvml count", "1; rm -rf ~");
    facts_set(&f, "nvml 2 pci", "00000000:02:00.0; rm -rf ~");
    for (size_t i = 0; i < n; i++) {
        char text[4000];
        struct strbuf b;
        const struct finding g = {
            .row = &rows[i],
            .seen = {{"nvml 1; rm -rf ~ x", "1"},
                     {"is driver 0000:01:00.0; rm -rf ~", "x"},
                     {"nvml 2 x", "rm -rf ~"},
                     {"log 0", "PCI:0000:01:00.0; rm -rf ~"}},
            .n_seen = 4,
        };
        strbuf_init(&b, text, sizeof text);
        finding_cure(&g, &f, &b);
        assert_false(has(text, "rm -rf ~"));
    }
}

/* ---- several GPUs ---- */

static int put_text(void *ctx, const char *p, size_t n, struct err *e)
{
    (void)e;
    strbuf_add(ctx, p, n);
    return 0;
}

static void addresses_in_their_forms(void **state)
{
    (void)state;
    struct pci cuda, nvml, log;
    assert_true(pci_find("0000:3b:00.0", &cuda) && pci_find("00000000:3B:00.0", &nvml));
    assert_true(pci_find("NVRM: 10:20:30 Xid (PCI:0000:3b:00): 79, pid=1", &log));
    assert_true(pci_same(&cuda, &nvml) && pci_same(&cuda, &log));
    assert_true(pci_find("is driver 00010001:3b:1f.7", &log));
    assert_true(log.domain == 0x10001 && log.bus == 0x3b && log.device == 0x1f);
    assert_int_equal(log.function, 7);
    static const char *const none[] = {
        "",           "0000:3b",           "3b:00.0",   "0000:3b:00.x",
        "0000:3b0:0", "000000000:3b:00.0", "10de:2901", "12:34:56"};
    for (size_t i = 0; i < COUNT(none); i++) assert_false(pci_find(none[i], &log));
    assert_int_equal(pci_key("nvml 12 name", "nvml"), 12);
    assert_int_equal(pci_key("is narrow 3", "is narrow"), 3);
    assert_int_equal(pci_key("nvml count", "nvml"), -1);
    assert_int_equal(pci_key("nvml 1x name", "nvml"), -1);
    assert_int_equal(pci_key("nvml 99999999999999999999 name", "nvml"), -1);
}

#define CARD(address)                                     \
    "/sys/bus/pci/devices/" address "/class = 0x030200\n" \
    "/sys/bus/pci/devices/" address "/driver = nvidia\n"
#define TWO_CARDS CARD("0000:01:00.0") CARD("0000:41:00.0")
#define TWO                                                     \
    TWO_CARDS "nvml count = 2\nnvml 0 pci = 00000000:01:00.0\n" \
              "nvml 1 pci = 00000000:41:00.0\n"                 \
              "cuda 0 pci = 0000:01:00.0\ncuda 1 pci = 0000:41:00.0\n"
#define WORK "cuda 0 gemm = right\n"

static void replay_text(struct place *p, const char *text, struct doctor *d)
{
    struct err e;
    arena_reset(p->a);
    assert_int_equal(doctor_replay(p->a, str_of(text), "", p->program, d, &e), 0);
}

/* The cure of one finding of a record; "" if it is not found. */
static void cure_in(struct place *p, const char *facts, const char *id, char *out, size_t room)
{
    struct doctor d;
    struct strbuf b;
    replay_text(p, facts, &d);
    strbuf_init(&b, out, room);
    for (size_t i = 0; i < d.n; i++)
        if (strcmp(d.found[i].row->id, id) == 0) finding_cure(&d.found[i], &d.facts, &b);
}

static void cures_name_the_gpu_of_the_evidence(void **state)
{
    static const struct {
        const char *facts, *id, *wanted; /* wanted NULL: the finding is not made */
    } cases[] = {
        {TWO WORK "nvml 1 remap_pending = 1\n", "remap-pending", "--gpu-reset -i 1"},
        {TWO WORK "nvml 11 remap_pending = 1\n", "remap-pending", "--gpu-reset -i 11"},
        {TWO WORK "nvml 0 ecc_uncorrected = 2\nnvml 1 ecc_uncorrected = 1\n", "ecc-errors",
         "sudo nvidia-smi --gpu-reset -i 0\nsudo nvidia-smi --gpu-reset -i 1"},
        {TWO WORK "hot 1 pcie_width = 8\nhot 1 pcie_width_max = 16\n", "pcie-degraded",
         "lspci -vv -s 0000:41:00.0"},
        /* CUDA's first is NVML's second */
        {TWO_CARDS WORK "cuda 0 pci = 0000:41:00.0\nnvml 0 pci = 00000000:01:00.0\n"
                        "hot 0 pcie_gen = 1\nhot 0 pcie_gen_max = 4\n",
         "pcie-degraded", "lspci -vv -s 0000:41:00.0"},
        /* an older record: "hot" by NVML's numbers */
        {TWO_CARDS WORK "cuda 0 pci = 0000:41:00.0\nhot 0 pci = 00000000:01:00.0\n"
                        "hot 0 pcie_gen = 1\nhot 0 pcie_gen_max = 4\n",
         "pcie-degraded", "lspci -vv -s 0000:01:00.0"},
        {TWO WORK "log 0 = NVRM: Xid (PCI:0000:41:00): 119, x\n", "xid-hardware",
         "--gpu-reset -i 1"},
        /* NVML does not answer: the address is as good */
        {TWO_CARDS "log 0 = NVRM: Xid (PCI:0000:41:00): 48, x\n", "reset-required",
         "--gpu-reset -i 0000:41:00.0"},
        {TWO_CARDS "nvmlInit = 16\n", "reset-required", "--gpu-reset -i INDEX"},
        {TWO "nvmlInit = 16\n", "reset-required", "--gpu-reset -i INDEX"},
        {TWO WORK "log 0 = NVRM: Xid: 119, x\n", "xid-hardware", NULL},
        {CARD("0000:41:00.0") "nvmlInit = 16\n", "reset-required", "--gpu-reset -i 0\n"},
        {"nvml count = 1\nnvmlInit = 16\n", "reset-required", "--gpu-reset -i 0\n"},
        {"nvmlInit = 16\n", "reset-required", "--gpu-reset -i INDEX"},
        /* the only GPU's number is not that of a card that is gone */
        {CARD("0000:41:00.0") "nvml count = 1\nnvml 0 pci = 00000000:41:00.0\n" WORK
                              "log 0 = NVRM: Xid (PCI:0000:01:00): 119, x\n",
         "xid-hardware", "--gpu-reset -i 0000:01:00.0"},
        {TWO "nvml 1 compute_mode = 2\n", "mode-prohibited", "nvidia-smi -i 1 -c 0"},
        /* a container's numbers are its own, and the cure is for its host */
        {"/.dockerenv = file\n/dev/nvidiactl = open\n" TWO "nvml 1 compute_mode = 2\n",
         "mode-prohibited", "nvidia-smi -i 0000:41:00.0 -c 0"},
        /* what makes a finding is said of one GPU */
        {TWO "nvml 0 compute_mode = 3\nnvml 1 compute_mode = 3\nnvml 1 process 0 = 7\n",
         "mode-exclusive", "allow several\nsudo nvidia-smi -i 1 -c 0"},
        {TWO "nvml 0 compute_mode = 3\nnvml 1 process 0 = 7\n", "mode-exclusive", NULL},
        {TWO "nvml 0 mig = 1\nnvml 0 mig_instances = 2\nnvml 1 mig = 1\n"
             "nvml 1 mig_instances = 0\n",
         "mig-empty", "nvidia-smi mig -cgi 0 -C\n# off: sudo nvidia-smi -i 1 -mig 0"},
        {"/sys/bus/pci/devices/0000:01:00.0/class = 0x030200\n"
         "/sys/bus/pci/devices/0000:41:00.0/class = 0x030200\n"
         "/sys/bus/pci/devices/0000:41:00.0/driver = vfio-pci\n",
         "vfio", "echo 0000:41:00.0 | sudo tee /sys/bus/pci/drivers/vfio-pci/unbind"},
        {TWO_CARDS "/sys/module/nvidia = loaded\n"
                   "log 0 = NVRM: GPU 0000:41:00.0: RmInitAdapter failed! (0x26:0x65:1457)\n",
         "gpu-init-failed", "'pci 0000:41:00.0'"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char cure[4000];
        cure_in(*state, cases[i].facts, cases[i].id, cure, sizeof cure);
        bool right = cases[i].wanted ? has(cure, cases[i].wanted) : !*cure;
        if (!right)
            print_error("case %zu, %s: wanted \"%s\" in the cure:\n%s\n", i, cases[i].id,
                        cases[i].wanted ? cases[i].wanted : "", cure);
        assert_true(right);
    }
}

static void numbers_are_joined_by_the_address(void **state)
{
    struct place *p = *state;
    struct doctor d;
    struct err e;
    struct json_doc *doc;
    struct strbuf b;
    const size_t room = 200000;
    replay_text(p,
                "fake = t4+a100,idle=1,temperature=41+88\n"
                "env CUDA_VISIBLE_DEVICES = 1\n",
                &d);
    assert_int_equal(d.n, 0); /* idle neighbours and idle links before the work are no finding */
    assert_string_equal(facts_get(&d.facts, "nvml 1 pcie_gen"), "1");
    assert_string_equal(facts_get(&d.facts, "hot 0 pcie_gen"), "4");
    assert_string_equal(facts_get(&d.facts, "hot 0 temperature"), "88");
    assert_null(facts_get(&d.facts, "hot 1 temperature"));
    const struct report r = {&d.facts, d.found, d.n, d.status};
    strbuf_init(&b, arena_alloc(p->a, room, 1, &e), room);
    assert_int_equal(report_json(&r, put_text, &b, &e), 0);
    assert_int_equal(json_open(p->a, b.p, b.n, &doc, &e), 0);
    const struct json *gpus = json_key(json_root(doc), "gpus"), *gpu = json_at(gpus, 0);
    assert_int_equal(json_count(gpus), 1);
    assert_true(str_eq(json_text(json_key(gpu, "name")), "NVIDIA A100-SXM4-40GB"));
    assert_true(str_eq(json_text(json_key(gpu, "uuid")), facts_get(&d.facts, "nvml 1 uuid")));
    assert_int_equal(json_int(json_key(gpu, "temperature"), -1), 88);
    json_close(&doc);
    strbuf_init(&b, arena_alloc(p->a, room, 1, &e), room);
    assert_int_equal(report_text(&r, false, put_text, &b, &e), 0);
    assert_true(has(b.p, "  GPU 0    NVIDIA A100") && has(b.p, "afterwards 88 C"));
    assert_true(has(b.p, "  hidden   Tesla T4") && has(b.p, "; nvidia-smi's number 0\n"));
    /* An older record: "hot" by NVML's numbers, with the address beside it. */
    replay_text(p,
                "cuda 0 name = A\ncuda 0 pci = 0000:41:00.0\ncuda 0 gemm = right\n"
                "nvml 0 name = B\nnvml 0 pci = 00000000:01:00.0\nnvml 1 name = A\n"
                "nvml 1 pci = 00000000:41:00.0\nhot 0 pci = 00000000:01:00.0\n"
                "hot 0 temperature = 30\nhot 1 pci = 00000000:41:00.0\nhot 1 temperature = 70\n",
                &d);
    const struct report old = {&d.facts, d.found, d.n, d.status};
    strbuf_init(&b, arena_alloc(p->a, room, 1, &e), room);
    assert_int_equal(report_text(&old, false, put_text, &b, &e), 0);
    assert_true(has(b.p, "afterwards 70 C") && has(b.p, "  hidden   B"));
}

/* ---- machines made of files ---- */

static void make_parent(const char *path)
{
    char folder[1200];
    struct err e;
    snprintf(folder, sizeof folder, "%s", path);
    *strrchr(folder, '/') = 0;
    assert_int_equal(file_make_folders(folder, &e), 0);
}

/* A fact that is a file, folder or link becomes one below root. */
static void plant(const char *root, const struct fact *row)
{
    char path[1200], bytes[FACTS_VALUE];
    struct err e;
    snprintf(path, sizeof path, "%s%s", root, row->key);
    make_parent(path);
    size_t n = facts_bytes(row->value, bytes, sizeof bytes);
    bool library = strstr(row->key, "/libcuda.so") && strcmp(row->value, "file") != 0;
    if (facts_glob("folder|loaded", row->value))
        assert_int_equal(file_make_folders(path, &e), 0);
    else if (str_ends(row->key, "/driver") || library)
        assert_int_equal(symlink(row->value, path), 0);
    else
        unit_write(root, row->key + 1, bytes, n);
}

static bool is_of_files(const char *key)
{
    return key[0] == '/';
}

static void a_machine_is_read_as_it_was_recorded(void **state)
{
    struct place *p = *state;
    struct str rest = cases_text();
    struct cases_row row;
    int count = 0;
    while (cases_next(&rest, &row)) {
        char root[300], kmsg[4000] = "", ids[400];
        struct facts recorded;
        struct doctor d;
        struct err e;
        struct strbuf log;
        arena_reset(p->a);
        strbuf_init(&log, kmsg, sizeof kmsg);
        snprintf(root, sizeof root, "%s/%s", p->folder, row.name);
        assert_int_equal(facts_open(p->a, &recorded, &e), 0);
        assert_int_equal(cases_facts(cases_text(), row.name, &recorded, &row, &e), 0);
        assert_int_equal(file_make_folders(root, &e), 0);
        for (size_t i = 0; i < recorded.n; i++) {
            if (is_of_files(recorded.row[i].key)) plant(root, &recorded.row[i]);
            if (str_starts(recorded.row[i].key, "log "))
                strbuf_format(&log, "%s\n", recorded.row[i].value);
        }
        if (log.n) {
            char path[400];
            snprintf(path, sizeof path, "%s/dev/kmsg", root);
            make_parent(path);
            unit_write(root, "dev/kmsg", log.p, log.n);
        }
        const struct doctor_rules rules = {.program = p->program, .root = root};
        assert_int_equal(doctor_examine(p->a, &rules, &d, &e), 0);
        for (size_t i = 0; i < recorded.n; i++) {
            const struct fact *want = &recorded.row[i];
            if (!is_of_files(want->key) && !str_starts(want->key, "log ")) continue;
            const char *got = facts_get(&d.facts, want->key);
            if (!got || strcmp(got, want->value) != 0)
                print_error("%s: %s is %s, recorded was %s\n", row.name, want->key,
                            got ? got : "absent", want->value);
            assert_non_null(got);
            assert_string_equal(got, want->value);
        }
        for (size_t i = 0; i < d.facts.n; i++) /* and nothing besides */
            assert_true(str_starts(d.facts.row[i].key, "is ") ||
                        facts_get(&recorded, d.facts.row[i].key));
        ids_of(&d, ids, sizeof ids);
        count++;
    }
    assert_true(count >= 60);
}

/* The same through the ladder whole: files, and the emulated driver in children. */
static void a_fake_root_with_a_fake_driver(void **state)
{
    struct place *p = *state;
    char root[300], ids[200];
    struct facts recorded;
    struct cases_row row;
    struct doctor d;
    struct err e;
    snprintf(root, sizeof root, "%s/root", p->folder);
    assert_int_equal(facts_open(p->a, &recorded, &e), 0);
    assert_int_equal(cases_facts(cases_text(), "healthy", &recorded, &row, &e), 0);
    for (size_t i = 0; i < recorded.n; i++)
        if (is_of_files(recorded.row[i].key)) plant(root, &recorded.row[i]);
    struct doctor_rules rules = {.program = p->program, .root = root, .fake = "t4"};
    assert_int_equal(doctor_examine(p->a, &rules, &d, &e), 0);
    ids_of(&d, ids, sizeof ids);
    assert_string_equal(ids, "none");
    assert_int_equal(d.status, 0);
    assert_string_equal(facts_get(&d.facts, "cuda 0 gemm"), "right");
    assert_string_equal(facts_get(&d.facts, "hot 0 temperature"), "41");
    rules.fake = "t4,init=999";
    unit_write(root, "dev/nvidia0", "EACCES", 6);
    assert_int_equal(doctor_examine(p->a, &rules, &d, &e), 0);
    ids_of(&d, ids, sizeof ids);
    assert_string_equal(ids, "no-permission");
    assert_int_equal(d.status, 2);
    rules.fake = "t4,hang=nvmlInit_v2@1/60";
    rules.nvml_s = 1;
    assert_int_equal(doctor_examine(p->a, &rules, &d, &e), 0);
    assert_non_null(strstr(facts_get(&d.facts, "probe nvml"), "no answer after 1 s from nvmlInit"));
}

static void a_hostile_machine(void **state)
{
    struct place *p = *state;
    static const char *const files[] = {"/etc/os-release",
                                        "/proc/sys/kernel/osrelease",
                                        "/proc/1/environ",
                                        "/proc/devices",
                                        "/proc/driver/nvidia/version",
                                        "/proc/driver/nvidia/params",
                                        "/proc/cmdline",
                                        "/sys/module/nvidia/version",
                                        "/etc/docker/daemon.json",
                                        "/etc/cdi/nvidia.yaml",
                                        "/dev/kmsg",
                                        "/dev/nvidia0",
                                        "/sys/bus/pci/devices/0000:01:00.0/vendor",
                                        "/sys/bus/pci/devices/0000:01:00.0/class"};
    const size_t big = 1 << 20;
    char *line = arena_alloc(p->a, big, 1, &(struct err){.code = E_OK});
    for (int kind = 0; kind < 5; kind++) {
        char root[300], path[1200];
        struct doctor d;
        struct err e;
        struct arena *a;
        snprintf(root, sizeof root, "%s/%d", p->folder, kind);
        for (size_t i = 0; i < big; i++)
            line[i] = kind == 0 ? 'x' : kind == 1 ? 0 : (char)(i * 2654435761u >> 13);
        for (size_t i = 0; i < COUNT(files); i++) {
            snprintf(path, sizeof path, "%s%s", root, files[i]);
            make_parent(path);
            if (kind < 3)
                unit_write(root, files[i] + 1, line, big);
            else if (kind == 3)
                assert_int_equal(file_make_folders(path, &e), 0); /* a folder in its place */
            else if (i % 2)
                assert_int_equal(mkfifo(path, 0600), 0); /* opening it must not wait */
            else
                assert_int_equal(symlink(file_name(path), path), 0); /* points to itself */
        }
        assert_int_equal(arena_open("hostile", 0, &a, &e), 0);
        const struct doctor_rules rules = {.program = p->program, .root = root};
        time_t before = time(NULL);
        assert_int_equal(doctor_examine(a, &rules, &d, &e), 0);
        assert_true(time(NULL) - before < 3);
        assert_true(d.status == 2 || d.status == 3);
        assert_true(d.n > 0);
        arena_close(&a);
    }
}

static void there_may_be_too_many_facts(void **state)
{
    struct place *p = *state;
    struct doctor d;
    struct err e;
    assert_int_equal(facts_open(p->a, &d.facts, &e), 0);
    for (int i = 0; i < FACTS_MOST + 50; i++)
        facts_put(&d.facts, str_of("NVRM: Xid (x): 79"), "log %d", i);
    assert_int_equal(d.facts.n, FACTS_MOST);
    assert_int_equal(doctor_conclude(p->a, &d, &e), 0);
}

/* ---- facts ---- */

static void facts_keep_their_bytes(void **state)
{
    struct place *p = *state;
    struct facts f;
    struct err e;
    char out[300];
    assert_int_equal(facts_open(p->a, &f, &e), 0);
    char all[256];
    for (int i = 0; i < 256; i++) all[i] = (char)i;
    facts_put(&f, (struct str){all, sizeof all}, "all");
    assert_int_equal(facts_bytes(facts_get(&f, "all"), out, sizeof out), 256);
    all['\t'] = ' '; /* the one that is not kept */
    assert_memory_equal(out, all, 256);
    assert_true(facts_line(&f, str_of("a b = c = d")));
    assert_string_equal(facts_get(&f, "a b"), "c = d");
    assert_true(facts_line(&f, str_of("empty =")));
    assert_string_equal(facts_get(&f, "empty"), "");
    assert_false(facts_line(&f, str_of("no value")));
    assert_false(facts_line(&f, str_of("bell = \a")));
    assert_true(facts_glob("a*c|x", "abc") && facts_glob("a*c|x", "x") && facts_glob("*", ""));
    assert_false(facts_glob("a*c", "abd") || facts_glob("", "a") || facts_glob("a|b", "ab"));
    facts_drop(&f, "a*");
    assert_int_equal(f.n, 1);
}

static void what_is_saved_comes_to_the_same(void **state)
{
    struct place *p = *state;
    struct doctor before, after;
    struct err e;
    const size_t room = 100000;
    struct strbuf b;
    strbuf_init(&b, arena_alloc(p->a, room, 1, &e), room);
    assert_int_equal(doctor_replay(p->a, cases_text(), "driver-mismatch", p->program, &before, &e),
                     0);
    facts_set(&before.facts, "env LD_LIBRARY_PATH", "/home/me/lib:/usr/lib:/home/me/more");
    facts_set(&before.facts, "last good container", "secret-host");
    assert_int_equal(cases_write(&before.facts, "/home/me", put_text, &b, &e), 0);
    assert_false(has(b.p, "/home/me") || has(b.p, "secret-host"));
    assert_true(has(b.p, "env LD_LIBRARY_PATH = ~/lib:/usr/lib:~/more\n"));
    assert_int_equal(doctor_replay(p->a, (struct str){b.p, b.n}, "", p->program, &after, &e), 0);
    assert_int_equal(after.n, before.n);
    assert_ptr_equal(after.found[0].row, before.found[0].row);
    assert_int_equal(after.status, 2);
}

/* ---- reports, records, recipes ---- */

static void a_report_names_everything(void **state)
{
    struct place *p = *state;
    struct doctor d;
    struct err e;
    const size_t room = 200000;
    struct strbuf b;
    assert_int_equal(doctor_replay(p->a, cases_text(), "driver-mismatch", p->program, &d, &e), 0);
    const struct report r = {&d.facts, d.found, d.n, d.status};
    strbuf_init(&b, arena_alloc(p->a, room, 1, &e), room);
    assert_int_equal(report_text(&r, true, put_text, &b, &e), 0);
    assert_true(has(b.p, "570.86.15") && has(b.p, "570.133.20") && has(b.p, "sudo reboot"));
    assert_true(has(b.p, "  ok  nouveau") && !has(b.p, "PASSED"));
    strbuf_init(&b, arena_alloc(p->a, room, 1, &e), room);
    assert_int_equal(report_json(&r, put_text, &b, &e), 0);
    struct json_doc *doc;
    assert_int_equal(json_open(p->a, b.p, b.n, &doc, &e), 0);
    const struct json *root = json_root(doc), *found = json_key(root, "findings");
    assert_int_equal(json_int(json_key(root, "exit"), -1), 2);
    assert_int_equal(json_count(found), 1);
    assert_true(str_eq(json_text(json_key(json_at(found, 0), "id")), "driver-mismatch"));
    json_close(&doc);
}

static void the_record_of_the_last_use(void **state)
{
    struct place *p = *state;
    char root[300], cache[300];
    struct facts f;
    struct err e;
    snprintf(root, sizeof root, "%s/root", p->folder);
    snprintf(cache, sizeof cache, "%s/cache", p->folder);
    setenv("LODE_CACHE", cache, 1);
    history_note(root, "no driver"); /* no driver shows: nothing to note */
    assert_int_equal(file_kind(cache), FILE_NONE);
    struct fact version = {"/sys/module/nvidia/version", "570.86.15"};
    plant(root, &version);
    history_note(root, "");
    assert_int_equal(facts_open(p->a, &f, &e), 0);
    history_read(root, &f);
    assert_string_equal(facts_get(&f, "last good module"), "570.86.15");
    assert_null(facts_get(&f, "changed module"));
    unit_write(root, "sys/module/nvidia/version", "570.133.20", 10);
    history_note(root, "CUDA said 803");
    assert_int_equal(facts_open(p->a, &f, &e), 0);
    history_read(root, &f);
    assert_string_equal(facts_get(&f, "last fallback"), "CUDA said 803");
    assert_string_equal(facts_get(&f, "changed module"), "570.86.15 -> 570.133.20");
    history_note(root, "");
    assert_int_equal(facts_open(p->a, &f, &e), 0);
    history_read(root, &f);
    assert_null(facts_get(&f, "last fallback"));
    static const char garbage[] = "\0\1\2garbage = \xff\nlast good time = x\nlast";
    unit_write(cache, "gpu-record", garbage, sizeof garbage);
    assert_int_equal(facts_open(p->a, &f, &e), 0);
    history_read(root, &f);
    assert_string_equal(facts_get(&f, "last good time"), "x");
    unsetenv("LODE_CACHE");
}

static void recipes_are_whole(void **state)
{
    struct place *p = *state;
    struct facts f;
    struct err e;
    struct json_doc *doc;
    char text[4000];
    struct strbuf b;
    assert_int_equal(facts_open(p->a, &f, &e), 0);
    facts_set(&f, "nvml 0 uuid", "GPU-01234567-89ab-cdef-0123-456789abcdef");
    facts_set(&f, "nvml 1 uuid", "GPU-\"]; evil");
    facts_set(&f, "/dev/nvidia1", "open");
    for (int i = 0; i < RECIPES; i++) {
        strbuf_init(&b, text, sizeof text);
        recipe_write((enum recipe)i, &f, &b);
        assert_true(b.n > 100 && !b.cut && b.p[b.n - 1] == '\n' && !has(b.p, "evil"));
        if (i == RECIPE_COMPOSE)
            assert_true(has(b.p, "count: all") && has(b.p, "device_ids: [\"GPU-01234567"));
        if (i == RECIPE_SYSTEMD) assert_true(has(b.p, "DeviceAllow=/dev/nvidia1 rw"));
        if (i != RECIPE_DAEMON) continue;
        assert_int_equal(json_open(p->a, b.p, b.n, &doc, &e), 0);
        assert_non_null(json_key(json_key(json_root(doc), "runtimes"), "nvidia"));
        json_close(&doc);
    }
}

static void a_process_is_looked_at(void **state)
{
    struct place *p = *state;
    struct facts f;
    struct err e;
    char key[40];
    assert_int_equal(facts_open(p->a, &f, &e), 0);
    assert_int_equal(look_process("", (unsigned)getpid(), &f, &e), 0);
    snprintf(key, sizeof key, "pid %d library", (int)getpid());
    assert_string_equal(facts_get(&f, key), "none");
    snprintf(key, sizeof key, "pid %d nodes", (int)getpid());
    assert_string_equal(facts_get(&f, key), "none");
    assert_int_equal(look_process(p->folder, 1, &f, &e), -1);
    assert_int_equal(e.code, E_INPUT);
}

/* ---- docs/doctor.md ---- */

static const char mark[] = "<!-- the rest is made by `build/asan/tests/t_doctor page` -->\n";

/* "Debian, Ubuntu; host" */
static void say_where(unsigned where, struct strbuf *out)
{
    static const struct {
        unsigned bits;
        const char *text;
    } names[] = {{ON_DEBIAN, "Debian"}, {ON_UBUNTU, "Ubuntu"},
                 {ON_FEDORA, "Fedora"}, {ON_ARCH, "Arch"},
                 {ON_OTHER, "others"},  {IN_HOST, "the machine itself"},
                 {IN_WSL, "WSL2"},      {IN_DOCKER, "Docker"},
                 {IN_PODMAN, "Podman"}, {IN_KUBERNETES, "Kubernetes"},
                 {IN_LXC, "LXC"}};
    bool any = (where & IN_ANY) == IN_ANY, all = (where & ON_ALL) == ON_ALL, first = true;
    if (any && all) strbuf_text(out, "Everywhere");
    for (size_t i = 0; i < COUNT(names) && !(any && all); i++) {
        bool system = (names[i].bits & ON_ALL) != 0;
        if (!(where & names[i].bits) || (system ? all : any)) continue;
        strbuf_format(out, "%s%s", first ? "" : ", ", names[i].text);
        first = false;
    }
    strbuf_text(out, ":\n\n");
}

static void say_page(struct strbuf *out)
{
    size_t n;
    const struct finding_row *rows = finding_rows(&n);
    for (size_t i = 0; i < n; i++) {
        strbuf_format(out, "\n## %s\n\n%s: %s.\n\n%s\n", rows[i].id,
                      finding_severity(rows[i].severity), rows[i].what, rows[i].why);
        for (int k = 0; k < FINDING_CURES && rows[i].cure[k].text; k++) {
            struct str rest = str_of(rows[i].cure[k].text), line;
            strbuf_text(out, "\n");
            say_where(rows[i].cure[k].where, out);
            while (str_line(&rest, &line)) strbuf_format(out, "    %.*s\n", (int)line.n, line.p);
        }
    }
}

static void the_page_is_up_to_date(void **state)
{
    struct place *p = *state;
    const size_t room = 1 << 20;
    struct strbuf page;
    struct str file;
    struct err e;
    strbuf_init(&page, arena_alloc(p->a, room, 1, &e), room);
    say_page(&page);
    assert_false(page.cut);
    assert_int_equal(file_read(p->a, "docs/doctor.md", 1 << 20, &file, &e), 0);
    const char *at = strstr(file.p, mark);
    assert_non_null(at);
    assert_string_equal(at + strlen(mark), page.p);
}

static int print_page(void)
{
    struct arena *a;
    struct err e;
    const size_t room = 1 << 20;
    struct strbuf page;
    if (arena_open("page", 0, &a, &e)) return 1;
    strbuf_init(&page, arena_alloc(a, room, 1, &e), room);
    say_page(&page);
    printf("%s%s", mark, page.p);
    arena_close(&a);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "page") == 0) return print_page();
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(facts_keep_their_bytes),
        TEST(there_may_be_too_many_facts),
        TEST(every_finding_has_a_case),
        TEST(every_cure_is_right_for_its_place),
        TEST(facts_cannot_put_commands_into_a_cure),
        TEST(addresses_in_their_forms),
        TEST(cures_name_the_gpu_of_the_evidence),
        TEST(numbers_are_joined_by_the_address),
        TEST(a_machine_is_read_as_it_was_recorded),
        TEST(a_fake_root_with_a_fake_driver),
        TEST(a_hostile_machine),
        TEST(what_is_saved_comes_to_the_same),
        TEST(a_report_names_everything),
        TEST(the_record_of_the_last_use),
        TEST(recipes_are_whole),
        TEST(a_process_is_looked_at),
        TEST(the_page_is_up_to_date),
        TEST(every_case_comes_to_its_findings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
