# shellcheck shell=bash
# SPDX-License-Identifier: BSD-3-Clause
# Hugepages of 2 MB for this run: reserved at the start, given back at the end. Sourced by scripts/run.
#
# Several runs share the kernel's one number. /run/tidegate-hugepages holds the number from before the first run and
# one file for each run that lives, with what it asked for; the last one out restores the old number.

huge_number=/proc/sys/vm/nr_hugepages
huge_book=/run/tidegate-hugepages
huge_free=/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages

# Under the lock: set the kernel's number to the one from before plus what living runs ask for.
huge_settle() {
    local file pages=0 run
    for file in "$huge_book"/run-*; do
        run=${file##*/run-}
        if [[ ! -e $file ]]; then
            continue
        elif [[ -e /proc/$run ]]; then
            pages=$((pages + $(<"$file")))
        else
            rm -f "$file" # killed before it could tidy up
        fi
    done
    echo $(($(<"$huge_book/before") + pages)) >"$huge_number"
    if ((pages == 0)); then
        rm -rf "$huge_book"
    fi
}

# huge_reserve PAGES: returns 1, with everything as before, when the kernel does not have them.
huge_reserve() {
    local pages=$1 enough=0
    if [[ ! -w $huge_number || ! -r $huge_free ]]; then
        return 1
    fi
    exec 8>"$huge_book.lock"
    flock 8
    mkdir -p "$huge_book"
    if [[ ! -e $huge_book/before ]]; then
        cat "$huge_number" >"$huge_book/before"
    fi
    echo "$pages" >"$huge_book/run-$$"
    huge_settle
    # other runs may still be about to take theirs: the total must be there
    if (($(<"$huge_number") >= $(<"$huge_book/before") + pages && $(<"$huge_free") >= pages)); then
        enough=1
    else
        rm -f "$huge_book/run-$$"
        huge_settle
    fi
    flock -u 8
    exec 8>&-
    ((enough))
}

# Idempotent; does nothing for a run that reserved nothing.
huge_release() {
    if [[ ! -e $huge_book/run-$$ ]]; then
        return
    fi
    exec 8>"$huge_book.lock"
    flock 8
    rm -f "$huge_book/run-$$"
    huge_settle
    flock -u 8
    exec 8>&-
}
