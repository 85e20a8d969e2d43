#!/bin/sh
# Stands as `cc` and `gcc` in the PATH of an application's own configure script and makefiles, so
# that what they compile is for an image, and what they find out describes the image's C library.
#
# Compiling: gcc with the image's headers and flags. Linking: a static Linux program with plain musl
# of the image's version (so that configure's tests run), and a record of the link beside it
# (OUTPUT.link: the folder, then an argument a line), from which the image is linked. C files in a link
# are compiled to bespoke-objects in the tree first. A shared library becomes one object file under its name.
# Must never reach for the machine's own headers or libraries.
#
# BESPOKE_GCC        the compiler          BESPOKE_FLAGS  flags of all C code in an image
# BESPOKE_TOOLCHAIN  headers and libraries BESPOKE_OWN    the compiler's own headers
# BESPOKE_TREE       what paths in debug information are cut at, named BESPOKE_APP there
# BESPOKE_KERNEL     the kernel's headers, or nothing
set -eu

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# $1 as one word of shell text.
quote() {
    case $1 in
    *[!A-Za-z0-9_./=,+:@%-]* | '') printf "'%s' " "$(printf %s "$1" | sed "s/'/'\\\\''/g")" ;;
    *) printf '%s ' "$1" ;;
    esac
}

case ${0##*/} in
*++*)
    case "$*" in
    *-v | *--version | -dump*) fail "there is no C++ compiler for images" ;;
    esac
    fail "C++ is not supported: there is no C++ library for images (the machine's is made for another C library)." \
        "Leave the C++ part out by the options of the configure script or makefile. Called with: $*"
    ;;
esac

own=$BESPOKE_TOOLCHAIN/lib
output=a.out inputs=0 sources=0 links=1 joined='' previous='' folders=$own
for word; do
    case $previous in
    -o) output=$word ;;
    -L) folders="$folders
$word" ;;
    -l) ;;
    -I | -D | -U | -x | -include | -imacros | -isystem | -idirafter | -iquote | -MF | -MT | -MQ | -Xlinker | -u | -z | -T | -e) ;;
    *)
        case $word in
        -c | -S | -E | -M | -MM | -fsyntax-only) links=0 ;;
        -shared | -r | -Wl,-r | -Wl,-shared) joined=$word ;;
        -o?*) output=${word#-o} ;;
        -L?*) folders="$folders
${word#-L}" ;;
        -) inputs=1 ;;
        -*) ;;
        *.c | *.i | *.s | *.S) inputs=1 sources=$((sources + 1)) ;;
        *.cc | *.cpp | *.cxx | *.C | *.c++ | *.ii)
            fail "C++ is not supported: there is no C++ library for images; $word cannot be compiled"
            ;;
        *) inputs=1 ;;
        esac
        ;;
    esac
    previous=$word
done

# Questions about the compiler itself.
[ "$inputs" = 1 ] || exec "$BESPOKE_GCC" "$@"

# Flags of every compilation; -flto would leave nothing that can be linked alone.
base="$BESPOKE_FLAGS -fno-lto $(quote "-ffile-prefix-map=$BESPOKE_TREE=$BESPOKE_APP")-nostdinc"
base="$base -isystem $(quote "$BESPOKE_TOOLCHAIN/include")-isystem $(quote "$BESPOKE_OWN")"
if [ -n "$BESPOKE_KERNEL" ]; then
    base="$base -idirafter $(quote "$BESPOKE_KERNEL/compat")-idirafter $(quote "$BESPOKE_KERNEL/host")"
fi

if [ "$links" = 0 ]; then
    eval "set -- \"\$@\" $base"
    exec "$BESPOKE_GCC" "$@"
fi

if [ "$sources" -gt 0 ]; then
    # First what all files are compiled with, then each file by itself, its object in its place.
    flags='' previous=''
    for word; do
        case $previous in
        -o | -L | -l | -Xlinker | -u | -z | -T | -e) ;;
        -I | -D | -U | -x | -include | -imacros | -isystem | -idirafter | -iquote | -MF | -MT | -MQ)
            flags="$flags$(quote "$word")" ;;
        *)
            case $word in
            -o* | -L* | -l* | -Wl,* | -Xlinker | -u | -z | -T | -e | -shared | -r | -static | -pie | -no-pie | -rdynamic) ;;
            -*) flags="$flags$(quote "$word")" ;;
            esac
            ;;
        esac
        previous=$word
    done
    objects=$BESPOKE_TREE/bespoke-objects/$(printf %s "$PWD/$output" | tr / _)
    mkdir -p "$objects"
    count=$# number=0 previous=''
    while [ "$count" -gt 0 ]; do
        word=$1 count=$((count - 1))
        shift
        case $previous in
        -o | -L | -l | -I | -D | -U | -x | -include | -imacros | -isystem | -idirafter | -iquote | -MF | -MT | -MQ | -Xlinker | -u | -z | -T | -e) ;;
        *)
            case $word in
            -*) ;;
            *.c | *.i | *.s | *.S)
                name=${word##*/} number=$((number + 1))
                object=$objects/$number-${name%.*}.o
                eval "\"\$BESPOKE_GCC\" -c -o \"\$object\" $flags \"\$word\" $base"
                previous=$word word=$object
                set -- "$@" "$word"
                continue
                ;;
            esac
            ;;
        esac
        previous=$word
        set -- "$@" "$word"
    done
fi

if [ -n "$joined" ]; then
    # One object, whole: what is not called is left out when the image is linked.
    line='' previous=''
    for word; do
        case $previous in
        -o | -u | -z | -Xlinker | -T | -e | -L | -l | -I | -D | -U | -x | -include | -imacros | -isystem | -idirafter | -iquote | -MF | -MT | -MQ) ;;
        *)
            case $word in
            -*) ;;
            *) line="$line$(quote "$word")" ;;
            esac
            ;;
        esac
        previous=$word
    done
    eval "exec \"\$BESPOKE_GCC\" -r -nostdlib -o \"\$output\" $line"
fi

# The machine's own archives stand where the linker looks by itself. A shared library is an object here, so it takes the
# place of its -l.
count=$# previous=''
while [ "$count" -gt 0 ]; do
    word=$1 count=$((count - 1)) library=''
    shift
    case $previous in
    -l) library=$word ;;
    -o | -L | -I | -D | -U | -x | -include | -imacros | -isystem | -idirafter | -iquote | -MF | -MT | -MQ | -Xlinker | -u | -z | -T | -e) ;;
    *) case $word in
        -l?*) library=${word#-l} ;;
        -l)
            previous=$word
            continue
            ;;
        esac ;;
    esac
    previous=$word
    case $library in
    '') ;;
    gcc | gcc_s | gcc_eh | atomic) word=-l$library ;;
    *)
        found=''
        old=$IFS
        IFS='
'
        for folder in $folders; do
            for file in "$folder/lib$library.so" "$folder/lib$library.a"; do
                if [ -e "$file" ]; then found=$file; fi
            done
            if [ -n "$found" ]; then break; fi
        done
        IFS=$old
        case $found in
        '') fail "cannot find -l$library: no lib$library.a was built for the image (those of this machine do not count)" ;;
        *.so) word=$found ;;
        *) word=-l$library ;;
        esac
        ;;
    esac
    set -- "$@" "$word"
done

{ pwd; printf '%s\n' "$@"; } > "$output.link"
exec "$BESPOKE_GCC" -nostdlib -L "$own" "$own/crt1.o" "$own/crti.o" "$@" -static -no-pie \
    -Wl,--start-group "$own/libc.a" -lgcc -lgcc_eh "$own/libbespoke_eh.a" -Wl,--end-group "$own/crtn.o"
