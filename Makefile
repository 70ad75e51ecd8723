# Postern - the only Makefile.  `make help` lists the targets.
#
# lib/ROOM/*.c          -> one archive, libpostern.a
# a program's folder    -> one executable; main() is in its main.c, the rest is an archive that unit tests can link
# tests/unit/NAME/*.c   -> one Check program each, linked with the archive of the program NAME if there is one

.SUFFIXES:
.DELETE_ON_ERROR:

# ---- directories of an installed system -------------------------------------------------------------------------
DESTDIR           =
sbindir           = /usr/sbin
bindir            = /usr/bin
daemon_directory  = /usr/lib/postfix/sbin
config_directory  = /etc/postfix
queue_directory   = /var/spool/postfix
data_directory    = /var/lib/postfix
mandir            = /usr/share/man
completiondir     = /usr/share/bash-completion/completions
unitdir           = /lib/systemd/system
docdir            = /usr/share/doc/postern

# ---- compiler -----------------------------------------------------------------------------------------------------
CC       ?= cc
PACKAGES  = libuv libcares libpcre2-8 lmdb libidn2 libseccomp jansson libcrypto libssl
WARNINGS  = -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-unused-parameter \
            -Wno-missing-field-initializers
HARDENING = -fPIE -fstack-protector-strong -D_FORTIFY_SOURCE=3 -fcf-protection=full
LINKING   = -pie -Wl,-z,relro,-z,now
OPTIMISE  = -O2
BUILD     = build
ifdef SAN
BUILD     = build-san
HARDENING = -fPIE -fno-omit-frame-pointer
OPTIMISE  = -O1
SANITIZE  = -fsanitize=address,undefined -fno-sanitize-recover=all
endif
VERSION   = 0.1.0
CPPFLAGS  = -Ilib -Itests/unit -D_GNU_SOURCE -DPOSTERN_VERSION='"$(VERSION)"' \
            -DDEFAULT_CONFIG_DIRECTORY='"$(config_directory)"' -DDEFAULT_DAEMON_DIRECTORY='"$(daemon_directory)"' \
            -DDEFAULT_COMMAND_DIRECTORY='"$(sbindir)"' -DDEFAULT_QUEUE_DIRECTORY='"$(queue_directory)"' \
            -DDEFAULT_DATA_DIRECTORY='"$(data_directory)"'
CFLAGS    = -std=gnu17 -g $(OPTIMISE) $(WARNINGS) $(HARDENING) $(SANITIZE)
LDFLAGS   = $(LINKING) $(SANITIZE)
LIBS      = $(shell pkg-config --libs $(PACKAGES)) -ldb-5.3 -lunistring -lcrypt -lresolv -lpthread -lm -ldl
LIBS_tlsmgr = $(shell pkg-config --libs libcurl zlib)
PACKAGE_CFLAGS := $(shell pkg-config --cflags $(PACKAGES))

# ---- what is built ------------------------------------------------------------------------------------------------
# program:folder[,folder of shared files]
DAEMONS  = master:master smtpd:smtpd smtp:smtp tlsmgr:smtp/tlsmgr cleanup:qmgr/cleanup qmgr:qmgr/qmgr bounce:qmgr/bounce \
           pickup:qmgr/pickup local:local/local,local/common virtual:local/virtual,local/common pipe:local/pipe,local/common \
           error:local/error anvil:smtpd/anvil postlogd:master/postlogd spawn:local/spawn,local/common
COMMANDS = postfix:tools/postfix postconf:tools/postconf postqueue:tools/postqueue postsuper:tools/postsuper \
           postcat:tools/postcat postmap:tools/postmap sendmail:tools/sendmail postdrop:tools/postdrop \
           postlog:tools/postlog postkick:tools/postkick postlock:tools/postlock postmulti:tools/postmulti \
           posttls-finger:smtp/finger,smtp
# other names of the same program
DAEMON_LINKS  = lmtp:smtp retry:error discard:error nqmgr:qmgr postscreen:smtpd
COMMAND_LINKS = postern:postfix postalias:postmap qshape:postqueue
# other names of the same manual page
MAN_LINKS = postern.1:postfix.1 mailq.1:sendmail.1 newaliases.1:sendmail.1 lmtp.8:smtp.8 nqmgr.8:qmgr.8 \
            retry.8:error.8 btree_table.5:hash_table.5 lmdb_table.5:hash_table.5 cdb_table.5:hash_table.5 \
            pgsql_table.5:mysql_table.5 sqlite_table.5:mysql_table.5 body_checks.5:header_checks.5

name_of     = $(firstword $(subst :, ,$1))
folders_of  = $(subst $(comma), ,$(word 2,$(subst :, ,$1)))
comma      := ,
present     = $(foreach p,$1,$(if $(wildcard $(firstword $(call folders_of,$p))/main.c),$p))

LIB_SOURCES  := $(wildcard lib/*/*.c)
LIB_OBJECTS  := $(LIB_SOURCES:%.c=$(BUILD)/obj/%.o)
LIBRARY      := $(BUILD)/libpostern.a
DAEMON_FILES := $(foreach p,$(call present,$(DAEMONS)),$(BUILD)/sbin/$(call name_of,$p))
COMMAND_FILES:= $(foreach p,$(call present,$(COMMANDS)),$(BUILD)/bin/$(call name_of,$p))
DAEMON_LINK_FILES  := $(foreach l,$(DAEMON_LINKS),$(BUILD)/sbin/$(call name_of,$l))
COMMAND_LINK_FILES := $(foreach l,$(COMMAND_LINKS),$(BUILD)/bin/$(call name_of,$l))
MAN_FILES    := $(wildcard docs/man/*.[158]) $(BUILD)/man/postconf.5
TEST_SOURCES := $(wildcard tests/unit/*/test_*.c)
TEST_FILES   := $(TEST_SOURCES:tests/unit/%.c=$(BUILD)/tests/%)
FUZZ_NAMES   := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAY_FILES := $(FUZZ_NAMES:%=$(BUILD)/replay/%)
BENCH_SOURCES:= $(wildcard tests/bench/*.c)
BENCH_FILES  := $(BENCH_SOURCES:tests/bench/%.c=$(BUILD)/bench/%)

.PHONY: all lib programs manual check unit e2e demo bench lint fuzz install uninstall clean help
all: programs manual
programs: $(DAEMON_FILES) $(COMMAND_FILES) $(DAEMON_LINK_FILES) $(COMMAND_LINK_FILES)
lib: $(LIBRARY)
manual: $(MAN_FILES)

$(LIBRARY): $(LIB_OBJECTS)
	@rm -f $@ && ar rcsD $@ $(LIB_OBJECTS) && echo "  AR   $@"

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D) && echo "  CC   $<" && $(CC) $(CPPFLAGS) $(PACKAGE_CFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# program_rules NAME,FOLDERS,KIND - an archive of all but main.c, and the executable
define program_rules
SOURCES_$1 := $(foreach f,$2,$(filter-out %/main.c,$(wildcard $f/*.c)))
$(BUILD)/lib/$1.a: $$(SOURCES_$1:%.c=$(BUILD)/obj/%.o)
	@mkdir -p $$(@D) && rm -f $$@ && ar rcsD $$@ $$^
$(BUILD)/$3/$1: $(BUILD)/obj/$(firstword $2)/main.o $(BUILD)/lib/$1.a $(LIBRARY)
	@mkdir -p $$(@D) && echo "  LINK $$@" && $(CC) $(LDFLAGS) -o $$@ $$^ $(LIBS) $(LIBS_$1)
endef
$(foreach p,$(call present,$(DAEMONS)),$(eval $(call program_rules,$(call name_of,$p),$(call folders_of,$p),sbin)))
$(foreach p,$(call present,$(COMMANDS)),$(eval $(call program_rules,$(call name_of,$p),$(call folders_of,$p),bin)))

define link_rule
$(BUILD)/$2/$(call name_of,$1): $(filter $(BUILD)/$2/$(word 2,$(subst :, ,$1)),$(DAEMON_FILES) $(COMMAND_FILES))
	@mkdir -p $$(@D) && ln -sf $(word 2,$(subst :, ,$1)) $$@
endef
$(foreach l,$(DAEMON_LINKS),$(eval $(call link_rule,$l,sbin)))
$(foreach l,$(COMMAND_LINKS),$(eval $(call link_rule,$l,bin)))

$(BUILD)/man/postconf.5: docs/man/postconf.5.in docs/man/postconf.5.txt lib/conf/parameters.def tests/lint/parameters
	@mkdir -p $(@D) && echo "  MAN  $@" && tests/lint/parameters --man >$@

# ---- tests --------------------------------------------------------------------------------------------------------
ALL_NAMES := $(foreach p,$(call present,$(DAEMONS) $(COMMANDS)),$(call name_of,$p))
define test_rule
$(BUILD)/tests/$1: $(BUILD)/obj/tests/unit/$1.o $(if $(filter $(firstword $(subst /, ,$1)),$(ALL_NAMES)),$(BUILD)/lib/$(firstword $(subst /, ,$1)).a) $(LIBRARY)
	@mkdir -p $$(@D) && echo "  LINK $$@" && $(CC) $(LDFLAGS) -o $$@ $$^ $(shell pkg-config --libs check) $(LIBS) $(LIBS_$(firstword $(subst /, ,$1)))
endef
$(foreach t,$(TEST_SOURCES:tests/unit/%.c=%),$(eval $(call test_rule,$t)))

# Every fuzz target is built without libFuzzer too, to replay its seeds: tests/fuzz/corpus/NAME
$(BUILD)/obj/tests/fuzz/%.o: WARNINGS += -Wno-missing-prototypes
define replay_rule
$(BUILD)/replay/$1: $(patsubst %.c,$(BUILD)/obj/%.o,tests/fuzz/fuzz_$1.c tests/fuzz/replay.c \
    $(shell tests/fuzz/uses $1)) $(LIBRARY)
	@mkdir -p $$(@D) && echo "  LINK $$@" && $(CC) $(LDFLAGS) -o $$@ $$^ $(LIBS)
endef
$(foreach n,$(FUZZ_NAMES),$(eval $(call replay_rule,$n)))

$(BUILD)/bench/%: $(BUILD)/obj/tests/bench/%.o $(LIBRARY)
	@mkdir -p $(@D) && echo "  LINK $@" && $(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

unit: $(TEST_FILES) $(REPLAY_FILES)
	@tests/run-unit $(TEST_FILES) $(REPLAY_FILES)

e2e: programs
	-@tests/peer $(BUILD)
	@tests/run-e2e $(BUILD)

check: unit e2e

demo: programs
	@tests/demo $(BUILD)

bench: programs $(BENCH_FILES)
	@tests/bench/run $(BUILD)

# ---- lint ---------------------------------------------------------------------------------------------------------
lint:
	@tests/lint/run

# ---- fuzzing: clang's libFuzzer over the library ------------------------------------------------------------------
FUZZ_SECONDS = 60
fuzz:
	@tests/fuzz/run $(FUZZ_SECONDS)

# ---- installation -------------------------------------------------------------------------------------------------
D = $(DESTDIR)
COMPLETED = $(filter-out postern,$(foreach c,$(COMMANDS) $(COMMAND_LINKS),$(call name_of,$c)))
install: programs manual
	install -d $(D)$(sbindir) $(D)$(bindir) $(D)$(daemon_directory) $(D)$(config_directory) $(D)$(queue_directory) \
	    $(D)$(data_directory) $(D)$(mandir)/man1 $(D)$(mandir)/man5 $(D)$(mandir)/man8 $(D)$(unitdir) $(D)$(completiondir)
	install -m 0755 $(DAEMON_FILES) $(D)$(daemon_directory)
	install -m 0755 $(COMMAND_FILES) $(D)$(sbindir)
	for l in $(DAEMON_LINKS); do ln -sf $${l#*:} $(D)$(daemon_directory)/$${l%%:*}; done
	for l in $(COMMAND_LINKS); do ln -sf $${l#*:} $(D)$(sbindir)/$${l%%:*}; done
	ln -sf $(sbindir)/sendmail $(D)$(bindir)/mailq
	ln -sf $(sbindir)/sendmail $(D)$(bindir)/newaliases
	for f in $(wildcard conf/*); do t=$(D)$(config_directory)/$${f#conf/}; \
	    case $$f in conf/*.service|conf/completion) ;; *) test -e $$t || install -m 0644 $$f $$t ;; esac; done
	for f in $(MAN_FILES); do install -m 0644 $$f $(D)$(mandir)/man$${f##*.}; done
	for l in $(MAN_LINKS); do f=$${l%%:*}; ln -sf $${l#*:} $(D)$(mandir)/man$${f##*.}/$$f; done
	for f in README.md CHANGELOG.md docs/*.md docs/errors/*.md; do install -D -m 0644 $$f $(D)$(docdir)/$$f; done
	for f in $(wildcard conf/*.service); do install -m 0644 $$f $(D)$(unitdir); done
	install -m 0644 conf/completion/postern $(D)$(completiondir)
	for c in $(COMPLETED); do f=$(D)$(completiondir)/$$c; test -e $$f || ln -s postern $$f; done # those of others stay

uninstall:
	for p in $(DAEMON_FILES:$(BUILD)/sbin/%=%) $(DAEMON_LINK_FILES:$(BUILD)/sbin/%=%); do rm -f $(D)$(daemon_directory)/$$p; done
	for p in $(COMMAND_FILES:$(BUILD)/bin/%=%) $(COMMAND_LINK_FILES:$(BUILD)/bin/%=%); do rm -f $(D)$(sbindir)/$$p; done
	rm -f $(D)$(bindir)/mailq $(D)$(bindir)/newaliases
	for f in $(notdir $(MAN_FILES)) $(foreach l,$(MAN_LINKS),$(call name_of,$l)); do rm -f $(D)$(mandir)/man$${f##*.}/$$f; done
	for f in $(wildcard conf/*.service); do rm -f $(D)$(unitdir)/$${f##*/}; done
	rm -rf $(D)$(docdir)
	for c in $(COMPLETED); do f=$(D)$(completiondir)/$$c; test "$$(readlink $$f)" != postern || rm -f $$f; done
	rm -f $(D)$(completiondir)/postern

clean:
	rm -rf build build-san build-fuzz

help:
	@echo "make [SAN=1]      build (SAN=1: ASan+UBSan, in build-san)"
	@echo "make check        unit and end-to-end tests        make demo   a private instance at work"
	@echo "make bench        side by side with Debian's Postfix    make fuzz   fuzz every parser"
	@echo "make lint         static checks                    make install DESTDIR=DIR   make uninstall   make clean"

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
