# lode: `make` builds ./lode, `make test` runs every test, `make help` lists the rest.
#
#   MODE=rel|dbg|asan|tsan|fuzz   how to compile; everything lies in build/MODE
#   CC=clang                 another compiler
#   DNNL=1|0|auto ...        a library: 1 asks for it, 0 does without, auto (default) takes what is
#                            there. Of DNNL AV CURL UTF8PROC SQLITE lode can do without each.
#   GPU=1|0|auto             kernels for NVIDIA GPUs: need NVRTC, which `make gpu-wheels` fetches
#   GPU_ARCH=90a             only for GPUs of that architecture (see tools/build-images)

MODE ?= rel
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
O := build/$(MODE)
H := \#

all: $(O)/lode modules lode

# ---- flags, by mode and by role of the file ----
OPT_rel  := -O2
OPT_dbg  := -Og
OPT_asan := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
OPT_tsan := -O1 -fsanitize=thread
OPT_fuzz := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
OPT := $(or $(OPT_$(MODE)),$(error MODE is rel, dbg, asan, tsan or fuzz, not $(MODE)))
KERNEL_rel  := -O3
# Without the undefined behaviour sanitizer, which takes minutes to compile them; opcheck compares them
# with cpu_ref, which has it.
KERNEL_asan := -O1 -fno-sanitize=undefined
KERNEL_tsan := -O2
KERNEL_fuzz := $(KERNEL_asan)

WARN := -Wall -Wextra -Wshadow -Wundef -Wvla -Wwrite-strings -Wstrict-prototypes \
	-Wmissing-prototypes -Wformat=2 $(if $(findstring clang,$(CC)),,-Wno-format-truncation) \
	$(if $(CI),-Werror)
FLAGS := -std=c11 -D_GNU_SOURCE -Isrc -Iinclude -g -fopenmp $(WARN) $(OPT) $(CFLAGS)
REF := -O2 -ffp-contract=off
KERNEL := $(KERNEL_$(MODE)) -ffp-contract=fast -fno-math-errno -fno-trapping-math -fopenmp-simd

# One text, several objects: src/cpu/x_isa.c becomes x_base.o, x_avx2.o, x_avx512.o.
X86 := $(filter x86_64% amd64%,$(shell $(CC) -dumpmachine))
ISAS := base $(if $(X86),avx2 avx512)
# Not watched by the address sanitizer, which makes the tiles ten times slower (with AVX-512 they are assembly
# and fast): base is the same text, and watched.
ISA_avx2 := -march=x86-64-v3 $(if $(findstring address,$(OPT)),-O2 -fno-sanitize=address)
ISA_avx512 := -march=x86-64-v4 -mavx512vnni
ISA_avx512fp16 := $(ISA_avx512) -mavx512fp16
ISA_amx := $(ISA_avx512fp16) -mavx512bf16 -mamx-tile -mamx-int8 -mamx-bf16
knows = $(if $(X86),$(shell $(CC) $(ISA_$(1)) -x c -fsyntax-only /dev/null 2>/dev/null && echo 1))
FP16_ON := $(call knows,avx512fp16)
AMX_ON := $(call knows,amx)

# ---- libraries: probed by compiling, for not all of them have a pkg-config file ----
# have: headers (with <>), libraries. $(H), for GNU make 4.3 keeps the backslash of one escaped here.
have = $(shell { printf '$(H)include %s\n' $(1); echo 'int main(void) { return 0; }'; } | \
	$(CC) -x c - $(2) -o /dev/null 2>/dev/null && echo 1)
# pick: NAME, 1 if found, Debian package
pick = $(if $(filter 0,$($(1))),,$(or $(2),$(if $(filter 1,$($(1))),$(error $(1)=1 is asked for, but \
	its library is missing: apt install $(3)))))
# need: 1 if found, what, Debian package
need = $(if $(1),,$(error $(2) is missing and lode cannot be without: apt install $(3)))

ifeq ($(filter clean format help gpu-wheels,$(MAKECMDGOALS)),)
$(call need,$(shell command -v $(CC)),$(CC),gcc)
$(call need,$(call have,'<omp.h>',-fopenmp),OpenMP,$(if $(findstring clang,$(CC)),libomp-dev,gcc))
$(call need,$(call have,'<jansson.h>',-ljansson),jansson,libjansson-dev)
$(call need,$(call have,'<zlib.h>',-lz),zlib,zlib1g-dev)
DNNL_ON := $(call pick,DNNL,$(call have,'<dnnl.h>',-ldnnl),libdnnl-dev)
UTF8PROC_ON := $(call pick,UTF8PROC,$(call have,'<utf8proc.h>',-lutf8proc),libutf8proc-dev)
AV_LIBS := -lavformat -lavcodec -lswresample -lavutil
# src/media/av.c is its own probe: it needs FFmpeg 5.1.
av_compiles = $(shell $(CC) -std=c11 -D_GNU_SOURCE -Isrc -Iinclude -fsyntax-only src/media/av.c 2>/dev/null && echo 1)
AV_ON := $(call pick,AV,$(and $(call have,'<libavformat/avformat.h>' '<libswresample/swresample.h>',$(AV_LIBS)),$(av_compiles)),\
	libavformat-dev libavcodec-dev libswresample-dev)
CURL_LIBS := -lcurl -lcrypto
CURL_ON := $(call pick,CURL,$(call have,'<curl/curl.h>' '<openssl/evp.h>',$(CURL_LIBS)),\
	libcurl4-openssl-dev libssl-dev)
SQLITE_ON := $(call pick,SQLITE,$(call have,'<sqlite3.h>',-lsqlite3),libsqlite3-dev)
endif
# ---- kernels for GPUs: one file of images, taken into gpu_image.o; empty without NVRTC ----
GPU ?= auto
ifeq ($(filter clean format help gpu-wheels,$(MAKECMDGOALS)),)
GPU_ON := $(if $(filter 0,$(GPU)),,$(shell tools/build-images have 2>/dev/null && echo 1))
$(if $(filter 1,$(GPU)),$(if $(GPU_ON),,$(error GPU=1 is asked for, but NVRTC is missing: make gpu-wheels)))
endif
IMAGES := build/gpu/$(if $(GPU_ON),images$(GPU_ARCH:%=-%),none).bin
WITH := $(foreach l,DNNL UTF8PROC AV CURL FP16 AMX,-DWITH_$(l)=$(if $($(l)_ON),1,0))
LIBS := $(if $(DNNL_ON),-ldnnl) $(if $(UTF8PROC_ON),-lutf8proc) -ljansson -lz -ldl -lm
LINK := $(LDFLAGS) -Wl,--dynamic-list=tools/exports.txt

COMMIT := $(shell git describe --always --dirty --exclude '*' 2>/dev/null)
VERSION := $(shell cat VERSION)$(if $(COMMIT), ($(COMMIT)))

# Whatever is compiled depends on `settings`, which changes when the flags or the libraries do, and
# src/jobs/lode.c on `version`, the images of kernels on `images`.
SETTINGS := $(CC) $(FLAGS) $(WITH) $(LINK) $(SQLITE_ON:1=-lsqlite3)
ifeq ($(filter clean format help gpu-wheels,$(MAKECMDGOALS)),)
ifneq ($(SETTINGS),$(shell cat $(O)/settings 2>/dev/null))
$(shell mkdir -p $(O) && echo '$(SETTINGS)' >$(O)/settings)
yes = $(if $($(1)_ON),yes,no)
$(info lode $(MODE), $(CC): oneDNN $(call yes,DNNL), FFmpeg $(call yes,AV), \
	curl $(call yes,CURL), SQLite $(call yes,SQLITE), utf8proc $(call yes,UTF8PROC), GPU kernels $(call yes,GPU))
endif
ifneq ($(IMAGES),$(shell cat $(O)/images 2>/dev/null))
$(shell echo '$(IMAGES)' >$(O)/images)
endif
ifneq ($(VERSION),$(shell cat $(O)/version 2>/dev/null))
$(shell echo '$(VERSION)' >$(O)/version)
endif
endif

# ---- what is built from what ----
MODULES := $(if $(AV_ON),$(wildcard src/media/av.c)) $(if $(CURL_ON),$(wildcard src/load/pull.c)) \
	$(if $(SQLITE_ON),$(wildcard src/load/index.c))
SRC := $(filter-out src/media/av.c src/load/pull.c src/load/index.c src/gpu/emu% src/gpu/fake_% \
	$(if $(DNNL_ON),,src/cpu/cpu_dnnl.c) $(if $(FP16_ON),,$(wildcard src/cpu/cpu_half*.c)) \
	$(if $(AMX_ON),,src/cpu/cpu_amx.c),$(wildcard src/*/*.c))
ISA_SRC := $(filter %_isa.c,$(SRC))
ISA_OBJ := $(foreach i,$(ISAS),$(patsubst %_isa.c,$(O)/%_$(i).o,$(ISA_SRC))) \
	$(if $(AMX_ON),$(patsubst %,$(O)/src/cpu/cpu_%_amx.o,matrix peak top))
OBJ := $(patsubst %.c,$(O)/%.o,$(filter-out $(ISA_SRC),$(SRC))) $(ISA_OBJ)
PARTS := $(filter-out $(O)/src/app/main.o,$(OBJ))
SO := $(patsubst %.c,$(O)/lode-%.so,$(notdir $(MODULES))) $(O)/lode-fakecuda.so $(O)/lode-fakenvml.so
TESTS := $(patsubst tests/%.c,$(O)/tests/%,$(wildcard tests/t_*.c))
FUZZ := $(patsubst tests/fuzz/%.c,$(O)/tests/%,$(filter-out %/fz_main.c \
	$(if $(SQLITE_ON),,%/fz_index.c),$(wildcard tests/fuzz/fz_*.c)))

COMPILE = @mkdir -p $(@D) && echo "  cc $@" && $(CC) $(FLAGS) $(WITH) -MMD -MP

$(O)/src/%.o: src/%.c $(O)/settings
	$(COMPILE) -fPIC $(if $(filter %/cpu_ref.c %/cpu_ref_rows.c,$<),$(REF)) $(if $(filter %/lode.c,$<),-DLODE_VERSION='"$(VERSION)"' -DWITH_SQLITE=$(if $(SQLITE_ON),1,0)) -c $< -o $@

define isa_rule
$(O)/src/%_$(1).o: src/%_isa.c $(O)/settings
	$$(COMPILE) $(KERNEL) $(ISA_$(1)) -DISA=$(1) -c $$< -o $$@
endef
$(foreach i,$(ISAS) amx,$(eval $(call isa_rule,$(i))))
$(O)/src/cpu/cpu_half.o $(O)/src/cpu/cpu_half_linear.o: $(O)/%.o: %.c $(O)/settings
	$(COMPILE) -fPIC $(KERNEL) $(ISA_avx512fp16) -DISA=avx512fp16 -c $< -o $@
$(O)/src/cpu/cpu_amx.o: src/cpu/cpu_amx.c $(O)/settings
	$(COMPILE) -fPIC $(KERNEL) $(ISA_amx) -DISA=amx -c $< -o $@

build/gpu/images$(GPU_ARCH:%=-%).bin: $(wildcard src/gpu/k_*) src/gpu/dev.h tools/build-images
	@echo "  nvrtc $@" && tools/build-images build $@ $(GPU_ARCH)

build/gpu/none.bin:
	@mkdir -p $(@D) && : >$@

$(O)/src/gpu/gpu_image.o: $(IMAGES) $(O)/images
$(O)/src/gpu/gpu_image.o: private FLAGS += -DGPU_IMAGES=$(IMAGES)

$(O)/src/jobs/lode.o: $(O)/version
$(O)/src/doctor/cases.o: src/doctor/cases.txt

$(O)/lode: $(OBJ)
	@echo "  ld $@" && $(CC) $(FLAGS) $(OBJ) $(LINK) $(LIBS) -o $@

$(O)/lode-av.so: $(O)/src/media/av.o
	@echo "  ld $@" && $(CC) $(FLAGS) -shared $< $(LDFLAGS) $(AV_LIBS) -o $@

$(O)/lode-pull.so: $(O)/src/load/pull.o
	@echo "  ld $@" && $(CC) $(FLAGS) -shared $< $(LDFLAGS) $(CURL_LIBS) -o $@

$(O)/lode-index.so: $(O)/src/load/index.o
	@echo "  ld $@" && $(CC) $(FLAGS) -shared $< $(LDFLAGS) -lsqlite3 -o $@

$(O)/src/media/av.o $(O)/src/load/pull.o $(O)/src/load/index.o: private FLAGS += -fvisibility=hidden

# ---- the GPU with no GPU: the kernels as C, once per way of writing them (gpu/dev.h), on fibers,
# behind a fake driver ----
EMU_ARCHS := 70 75 80 90
EMU_FLAGS := -fPIC -fvisibility=hidden -ftls-model=initial-exec -ffp-contract=off \
	-Werror=implicit-function-declaration
EMU := $(O)/src/gpu/emu.o $(O)/src/gpu/emu_warp.o
FAKE := $(EMU) $(O)/src/gpu/fake_config.o $(O)/src/gpu/fake_driver.o $(O)/src/gpu/fake_cuda.o
KERNEL_OBJ := $(foreach a,$(EMU_ARCHS),$(patsubst src/gpu/%.cu,$(O)/emu/%_$(a).o,$(wildcard src/gpu/k_*.cu)))
LAB_OBJ := $(foreach a,$(EMU_ARCHS),$(O)/emu/k_lab_$(a).o)

define emu_rule
$(O)/emu/%_$(1).o: src/gpu/%.cu $(O)/settings
	$$(COMPILE) $$(EMU_FLAGS) -DDEV_EMULATE=$(1) -x c -c $$< -o $$@
$(O)/emu/%_$(1).o: tests/emu/%.cu $(O)/settings
	$$(COMPILE) $$(EMU_FLAGS) -DDEV_EMULATE=$(1) -x c -c $$< -o $$@
endef
$(foreach a,$(EMU_ARCHS),$(eval $(call emu_rule,$(a))))
$(FAKE) $(O)/src/gpu/fake_nvml.o: private FLAGS += $(EMU_FLAGS)
$(EMU): private FLAGS += -O2

# which kernels there are: KERNEL(name, architecture)
kernel_list = @mkdir -p $(@D) && echo "  nm $@" && $(if $^,nm -g $^,:) | \
	sed -n 's/^[0-9a-f]* [A-Z] k_\(.*\)_\([0-9]*\)$$/KERNEL(\1, \2)/p' | sort >$@
$(O)/emu/own/gpu/kernels.def: $(KERNEL_OBJ)
	$(kernel_list)
$(O)/emu/lab/gpu/kernels.def: $(LAB_OBJ)
	$(kernel_list)
$(O)/emu/%/fake_image.o: src/gpu/fake_image.c $(O)/emu/%/gpu/kernels.def $(O)/settings
	$(COMPILE) $(EMU_FLAGS) -I$(O)/emu/$* -c $< -o $@
.SECONDARY:

$(O)/lode-fakecuda.so: $(FAKE) $(O)/emu/own/fake_image.o $(KERNEL_OBJ)
	@echo "  ld $@" && $(CC) $(FLAGS) -shared $^ $(LDFLAGS) -lm -o $@

$(O)/lode-fakenvml.so: $(O)/src/gpu/fake_nvml.o $(O)/src/gpu/fake_config.o
	@echo "  ld $@" && $(CC) $(FLAGS) -shared $^ $(LDFLAGS) -ldl -o $@

# the fake driver with the kernels of tests/emu instead of lode's
$(O)/tests/fakelab.so: $(FAKE) $(O)/emu/lab/fake_image.o $(LAB_OBJ)
	@mkdir -p $(@D) && echo "  ld $@" && $(CC) $(FLAGS) -shared $^ $(LDFLAGS) -lm -o $@

$(O)/tests/t_emu: $(EMU) $(O)/emu/k_lab_75.o $(O)/emu/k_lab_80.o
$(O)/tests/t_fakecuda: $(O)/tests/fakelab.so
$(O)/tests/t_gpu: $(O)/src/gpu/fake_config.o
$(O)/tests/t_doctor: | $(O)/lode $(O)/lode-fakecuda.so $(O)/lode-fakenvml.so
$(O)/tests/t_gpu_ops $(O)/tests/t_image: private FLAGS += -I$(O)/emu/own
$(O)/tests/t_image: $(O)/emu/own/gpu/kernels.def
$(O)/tests/t_gpu_ops: $(O)/emu/own/gpu/kernels.def $(EMU) $(KERNEL_OBJ)

$(O)/tests/t_%: tests/t_%.c $(PARTS)
	$(COMPILE) -Itests $< $(filter %.o,$^) $(LINK) $(LIBS) -lcmocka -o $@

$(O)/tests/golden_full: tests/golden_full.c $(PARTS)
	$(COMPILE) $< $(PARTS) $(LINK) $(LIBS) -o $@

$(O)/bench_nearest: bench/nearest.c $(PARTS)
	$(COMPILE) $< $(PARTS) $(LINK) $(LIBS) -o $@

$(O)/tests/fz_index: $(O)/src/load/index.o
$(O)/tests/fz_index: private LIBS += -lsqlite3
$(O)/tests/fz_%: tests/fuzz/fz_%.c tests/fuzz/fz_main.c $(PARTS)
	$(COMPILE) $< $(if $(filter fuzz,$(MODE)),-fsanitize=fuzzer,tests/fuzz/fz_main.c) $(filter %.o,$^) $(LINK) $(LIBS) -o $@

lode: $(O)/lode
	@if [ $(MODE) = rel ]; then ln -sfn $< $@; fi

# ---- what can be asked for ----
modules: $(SO)
tests: $(TESTS) $(FUZZ) $(SO) $(O)/lode $(O)/bench_nearest $(O)/tests/golden_full

# check-names looks at the release build, everything else at the one with sanitizers.
test:
	@$(MAKE) --no-print-directory MODE=rel all
	@$(MAKE) --no-print-directory MODE=asan tests
	@tools/run-tests build/asan

# Every error code at every call of the GPU's driver: some hours. ./test takes a share of them.
fault-full:
	@$(MAKE) --no-print-directory MODE=asan modules build/asan/tests/t_gpu
	LODE_FAULT_FULL=1 build/asan/tests/t_gpu

# Every call that can fail, made to fail once and from then on: with sanitizers, and where a model is
# needed without. 15,000 runs, hours; ARGS="--sample 5000" draws, ./test takes 120.
torture:
	@$(MAKE) --no-print-directory MODE=rel all
	@$(MAKE) --no-print-directory MODE=asan build/asan/lode modules
	LODE=build/asan/lode tools/torture --set plain $(ARGS)
	LODE=build/rel/lode tools/torture --set model $(ARGS)

# What takes hours: the scripts of tests/nightly, each a table of cases; T="long.py" takes some of them.
nightly: all
	@for t in $(or $(T:%=tests/nightly/%),$(wildcard tests/nightly/*)); do echo "$$t"; \
		LODE=$(O)/lode $$t $(ARGS) || bad="$$bad $$t"; done; \
		[ -z "$$bad" ] || { echo "failed:$$bad"; exit 1; }

check: all
	@for c in layers names size words format; do echo "check-$$c"; tools/check-$$c || [ $$? = 77 ] || bad=1; done; [ -z "$$bad" ]

# Whole sizes of hashed weights against transformers, and 1,000 lines embedded with real weights against
# sentence-transformers ("minilm"): make golden-full [SIZES="tiny base"]. Installs torch by itself (PYTHON=... takes an interpreter that has it) and needs some GB of disk.
golden-full: $(O)/tests/golden_full $(O)/lode
	PYTHON='$(PYTHON)' LODE=$(O)/lode tools/golden/full $(O)/tests/golden_full $(or $(SIZES),tiny minilm)

# 100,000 hostile lines against the tokenizers package, which PYTHON must have: make tokens-full
TOKENIZERS := $(wildcard tests/golden/tokens_*.json $(or $(LODE_CACHE),$(HOME)/.cache/lode)/models/*MiniLM*/tokenizer.json)
tokens-full: $(O)/tests/t_tokens
	@mkdir -p build
	$(or $(PYTHON),python3) tools/golden/tokens.py $(or $(LINES),100000) $(TOKENIZERS)
	$(O)/tests/t_tokens build/tokens.bin $(TOKENIZERS)

# The fuzzer proper: make fuzz T=json [ARGS=-max_total_time=60]. What it finds lies in build/fuzz/T.
fuzz:
	@$(MAKE) --no-print-directory MODE=fuzz CC=clang build/fuzz/tests/fz_$(T)
	@mkdir -p build/fuzz/$(T)
	build/fuzz/tests/fz_$(T) $(ARGS) build/fuzz/$(T) $(wildcard tests/fuzz/corpus/$(T))

tidy:
	clang-tidy --quiet $(filter-out $(ISA_SRC),$(SRC)) -- $(filter-out -fopenmp,$(FLAGS)) $(WITH)

format:
	clang-format -i $(wildcard src/*/*.[ch] include/*.h tests/*.[ch] tests/fuzz/*.c)

man: $(O)/lode
	$(O)/lode man >$(O)/lode.1

# ./demo and ./test on bare Debian machines made by debootstrap; needs root
check-fresh:
	tools/check-fresh $(SUITES)

# NVRTC, NVIDIA's compiler for kernels: 113 MB into the cache
gpu-wheels:
	tools/build-images fetch

# Registers, spills and shared memory of every kernel, as rows for docs/speed.md
gpu-kernels: build/gpu/images$(GPU_ARCH:%=-%).bin
	@tools/build-images table $<

PREFIX ?= /usr/local
install: all man
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/lode $(DESTDIR)$(PREFIX)/share/man/man1
	install $(O)/lode $(DESTDIR)$(PREFIX)/bin/lode
	$(if $(SO),install -m 644 $(SO) $(DESTDIR)$(PREFIX)/lib/lode/)
	install -m 644 $(O)/lode.1 $(DESTDIR)$(PREFIX)/share/man/man1/lode.1

clean:
	rm -rf build lode

help:
	@sed -n '1,/^$$/p' Makefile
	@echo "goals: all test golden-full tokens-full check check-fresh fuzz tidy format man gpu-wheels gpu-kernels fault-full torture nightly install clean"
	@echo "gpu-wheels fetches NVRTC; gpu-kernels prints registers, spills and shared memory of kernels;"
	@echo "fault-full lets every call of the GPU's driver fail with every code (hours);"
	@echo "nightly runs tests/nightly: hours of silence, noise and music, a day, loops, deaths (T=long.py ARGS=\"loop day\")"

.PHONY: all modules tests test golden-full tokens-full check check-fresh fuzz tidy format man gpu-wheels gpu-kernels \
	fault-full torture nightly install clean help
.DELETE_ON_ERROR:
-include $(OBJ:.o=.d) $(FAKE:.o=.d) $(KERNEL_OBJ:.o=.d) $(LAB_OBJ:.o=.d) \
	$(O)/src/gpu/fake_nvml.d $(O)/emu/own/fake_image.d $(O)/emu/lab/fake_image.d $(addsuffix .d,$(TESTS) $(FUZZ)) $(patsubst %.c,$(O)/%.d,$(MODULES))
