#!/bin/sh
# Stands as `cc` and `gcc` in the PATH of an application's own configure script and makefiles, so
# that what they compile is for an image, and what they find out describes the image's C library.
#
# Compiling: gcc with the image's headers and flags. Linking: a static Linux program with plain musl
# of the image's version (so that configure's tests run), and a record of the link beside it
# (OUTPUT.link: the folder, then an argument a line), from which the image is linked.
# Must never reach for the machine's own headers or libraries.
#
# BESPOKE_GCC        the compiler          BESPOKE_FLAGS  flags of all C code in an image
# BESPOKE_TOOLCHAIN  headers and libraries BESPOKE_OWN    the compiler's own headers
# BESPOKE_TREE       what paths in debug information are cut at, named BESPOKE_APP there
set -eu

output=a.out inputs=0 links=1 previous=
for word; do
    case $previous in
    -o) output=$word ;;
    -I | -L | -D | -U | -x | -include | -isystem | -MF | -MT | -MQ | -Xlinker | -u | -z) ;;
    *)
        case $word in
        -c | -S | -E | -M | -MM | -fsyntax-only) links=0 ;;
        -shared) echo "cc: an image is one static program; configure without shared libraries" >&2
            exit 1 ;;
        -) inputs=1 ;;
        -*) ;;
        *) inputs=1 ;;
        esac ;;
    esac
    previous=$word
done

# Questions about the compiler itself.
[ "$inputs" = 1 ] || exec "$BESPOKE_GCC" "$@"

# shellcheck disable=SC2086 # BESPOKE_FLAGS is a list
set -- "$@" $BESPOKE_FLAGS "-ffile-prefix-map=$BESPOKE_TREE=$BESPOKE_APP" \
    -nostdinc -isystem "$BESPOKE_TOOLCHAIN/include" -isystem "$BESPOKE_OWN"
[ "$links" = 1 ] || exec "$BESPOKE_GCC" "$@"

{ pwd; printf '%s\n' "$@"; } > "$output.link"
lib=$BESPOKE_TOOLCHAIN/lib
exec "$BESPOKE_GCC" -static -no-pie -nostdlib -L "$lib" "$lib/crt1.o" "$lib/crti.o" "$@" \
    -Wl,--start-group "$lib/libc.a" -lgcc -Wl,--end-group "$lib/crtn.o"
