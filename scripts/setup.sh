#!/usr/bin/env bash
# Make .venv and install everything into it. Running it again when nothing changed takes seconds.
#
# usage: bash scripts/setup.sh                 the whole set-up
#        bash scripts/setup.sh --check         only say whether this machine has what it takes
#        bash scripts/setup.sh --print-stamp   print the hash of all inputs (tests use it)
#
#   PYTHON     the interpreter to make .venv from (default: python3, or the first python3.N >= 3.11)
#   ECG_TORCH  what to give pip for torch, e.g. "torch==2.13.0" or "torch --index-url URL"; without it a
#              machine without a GPU gets a CPU build where pip's settings offer one
#
# The order matters. torch comes first, from wherever the user's pip settings point, because fairseq
# compiles against it; an isolated build of fairseq would fetch a second torch, hence
# --no-build-isolation. fairseq's own requirements name torchaudio, which it never needs, hence
# --no-deps. Rust is used when it is there and never installed.
set -euo pipefail

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$PROJECT"
VENV=$PROJECT/.venv
VENV_PYTHON=$VENV/bin/python
STAMP_FILE=$VENV/.setup-stamp   # written last: the hash of the inputs of a complete set-up
OWNER_FILE=$VENV/.setup-folder  # marks a .venv that this script made, and for which folder
LOGS=$VENV/setup-logs
WHEELS=$VENV/setup-wheels
FAIRSEQ="fairseq-fixed==0.12.3.1"
TORCH=${ECG_TORCH:-"torch>=2.6,<2.17"}
STARTED=$SECONDS
background_group=""

say() { printf 'setup: %s\n' "$*"; }

die() {
    printf 'setup: ERROR: %s\n' "$*" >&2
    exit 1
}

stop_background_build() {
    [ -z "$background_group" ] || kill -- "-$background_group" 2>/dev/null || true
}
trap stop_background_build EXIT
trap 'printf "setup: ERROR: line %s failed: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR

# ---- what the machine offers -------------------------------------------------------------------

is_recent_python() {
    # hydra's command line does not run on Python 3.14.
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_recent_python "$PYTHON" || die "PYTHON=$PYTHON is $(describe_python "$PYTHON");" \
            "Python 3.11, 3.12 or 3.13 is needed. Set PYTHON to such an interpreter."
        printf '%s\n' "$PYTHON"
        return
    fi
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        if is_recent_python "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "python3 is $(describe_python python3); Python 3.11, 3.12 or 3.13 is needed. Install it" \
        "(Debian and Ubuntu: apt-get install python3.11 python3.11-venv python3.11-dev)," \
        "or say where it is: PYTHON=/path/to/python3.11 bash scripts/setup.sh"
}

describe_python() {
    "$1" --version 2>/dev/null || printf 'not a Python that runs'
}

check_machine() {
    local python=$1 compiler include version
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ ! -x "$VENV_PYTHON" ]; then
        "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            die "$python cannot make virtual environments (modules venv and ensurepip)." \
                "Debian and Ubuntu: apt-get install python$version-venv"
    fi
    compiler=$("$python" -c 'if True:
        import os, sysconfig
        print(os.environ.get("CXX") or sysconfig.get_config_var("CXX") or "c++")')
    command -v "${compiler%% *}" >/dev/null ||
        die "no C++ compiler: '${compiler%% *}' was not found; fairseq has parts to compile." \
            "Debian and Ubuntu: apt-get install g++   Fedora: dnf install gcc-c++" \
            "   or set CXX to the compiler you have"
    include=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
    [ -f "$include/Python.h" ] ||
        die "Python's C headers are missing ($include/Python.h)." \
            "Debian and Ubuntu: apt-get install python$version-dev"
}

rust_version() {
    # A rustup shim without a toolchain is on PATH but does not run: that counts as no Rust.
    { cargo --version && rustc --version; } 2>/dev/null | tr '\n' ' ' || true
}

print_stamp() {
    local python=$1
    local -a inputs=(setup.py pyproject.toml scripts/setup.sh)
    [ ! -d rust_bpe ] || inputs+=(rust_bpe)
    {
        printf '%s\n' "$PROJECT" "$TORCH" "$(rust_version)"
        "$python" -c 'import sys; print(sys.version)'
        find "${inputs[@]}" -name target -prune -o -type f \
            \( -name '*.py' -o -name '*.toml' -o -name '*.sh' -o -name '*.rs' -o -name '*.pyi' \) \
            -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } | sha256sum | cut -d ' ' -f 1
}

is_up_to_date() {
    [ -x "$VENV/bin/ecg-fairseq" ] && [ "$(cat "$STAMP_FILE" 2>/dev/null)" = "$1" ]
}

# ---- steps -------------------------------------------------------------------------------------

explain_failure() {
    local name=$1 log=$2
    local hint="Read the lines above (all of them: $log)."
    tail -n 25 "$log" >&2
    if grep -qE 'No space left' "$log"; then
        hint="The disk is full. Free some space (a CUDA torch needs about 8 GB)."
    elif grep -qE 'No matching distribution|NewConnection|ConnectionError|name resolution' "$log" ||
        grep -qE 'Network is unreachable|Max retries|Read timed out|ProxyError' "$log"; then
        hint="pip could not get a package: no network, or an index without it. pip's own settings"
        hint="$hint (PIP_INDEX_URL, PIP_PROXY, PIP_FIND_LINKS, pip.conf) are respected."
    fi
    die "step '$name' failed. $hint Then run the same command again; finished steps are kept."
}

# step NAME WHAT COMMAND...: run with the output in a log; say how long it took or why it failed.
step() {
    local name=$1 what=$2 began=$SECONDS
    shift 2
    say "$what"
    "$@" >"$LOGS/$name.log" 2>&1 </dev/null || explain_failure "$name" "$LOGS/$name.log"
    say "    $((SECONDS - began)) s"
}

pip_install() { "$VENV_PYTHON" -m pip install "$@"; }

# A .venv that is a link may lead to another clone's: nothing is installed or cleared there.
refuse_foreign_venv() {
    [ -L "$VENV" ] || return 0
    local place owner
    place=$(readlink -f "$VENV" || true)
    [ -d "$VENV" ] || die ".venv is a link to ${place:-a folder} that is not there. Remove the link."
    owner=$(cat "$OWNER_FILE" 2>/dev/null || true)
    [ "$owner" != "$PROJECT" ] && [ -n "$(ls -A "$VENV/")" ] || return 0
    die ".venv is a link to $place, which holds ${owner:+the environment of }${owner:-something}" \
        "that this script did not make for $PROJECT. Remove the link, or point it to an empty folder."
}

make_venv() {
    local python=$1 reason=""
    refuse_foreign_venv
    if [ ! -e "$VENV_PYTHON" ] && [ ! -L "$VENV_PYTHON" ]; then
        reason="new"
    elif ! is_recent_python "$VENV_PYTHON"; then
        reason="its Python is $(describe_python "$VENV_PYTHON")"
    elif [ -f "$OWNER_FILE" ] && [ "$(cat "$OWNER_FILE")" != "$PROJECT" ]; then
        reason="it was made for $(cat "$OWNER_FILE")"
    elif [ -n "${PYTHON:-}" ] &&
        [ "$(describe_python "$PYTHON")" != "$(describe_python "$VENV_PYTHON")" ]; then
        reason="PYTHON asks for $(describe_python "$PYTHON")"
    fi
    if [ -z "$reason" ]; then
        say ".venv: keeping it ($(describe_python "$VENV_PYTHON"))"
    else
        [ "$reason" = new ] || [ -f "$OWNER_FILE" ] ||
            die ".venv cannot be used ($reason) and was not made by this script." \
                "Move or delete $VENV, then run again."
        say ".venv: making it with $python, $(describe_python "$python") ($reason)"
        "$python" -m venv --clear "$VENV" || die "$python -m venv failed; see above."
        printf '%s\n' "$PROJECT" >"$OWNER_FILE"
    fi
    mkdir -p "$LOGS" "$WHEELS"
}

has_gpu() {
    compgen -G '/dev/nvidia[0-9]*' >/dev/null || [ -e /dev/kfd ] || [ -e /dev/dxg ]
}

# Without a GPU, a CPU build saves most of the download, where pip's own settings offer one.
choose_torch() {
    [ -z "${ECG_TORCH:-}" ] && ! has_gpu || return 0
    local build version
    for build in $(pip_versions torch); do
        version=${build%%+*}
        [ "$build" = "$version+cpu" ] || continue
        "$VENV_PYTHON" -c "if True:
            import sys
            found = tuple(int(part) for part in '$version'.split('.')[:2])
            sys.exit(not (2, 6) <= found < (2, 17))" || continue
        say "torch: no GPU here, and pip's settings offer the CPU build $build"
        TORCH="torch==$build"
        return 0
    done
}

pip_versions() {
    "$VENV_PYTHON" -m pip index versions "$1" 2>/dev/null | sed -n 's/,//g; s/^Available versions: //p'
}

install_torch() {
    local -a requirement
    choose_torch
    read -r -a requirement <<<"$TORCH"  # words, so that options may stand beside the requirement
    step torch "torch: pip install $TORCH (one that is installed and fits is kept)" \
        pip_install "${requirement[@]}"
    say "    took $("$VENV_PYTHON" -W ignore -c 'if True:
        import torch
        build = f"CUDA {torch.version.cuda} build" if torch.version.cuda else "CPU build"
        if torch.version.hip:
            build = f"ROCm {torch.version.hip} build"
        seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
        print(f"torch {torch.__version__}, a {build}; GPUs visible: {seen}")')"
    # Later steps must not replace it.
    "$VENV_PYTHON" -c 'if True:
        from importlib.metadata import version
        print("torch==" + version("torch"))' >"$VENV/setup-constraints.txt"
}

has_fairseq() {
    "$VENV_PYTHON" -c "if True:
        import importlib.metadata, sys
        sys.exit('fairseq-fixed==' + importlib.metadata.version('fairseq-fixed') != '$FAIRSEQ')" \
        2>/dev/null && "$VENV_PYTHON" -c 'import fairseq.data.data_utils_fast' 2>/dev/null
}

build_fairseq() {
    # With CUDA_HOME set, fairseq's setup.py lists CUDA sources that its archive does not contain;
    # with READTHEDOCS set, it leaves out the compiled parts.
    env -u CUDA_HOME -u READTHEDOCS \
        "$VENV_PYTHON" -m pip wheel --no-build-isolation --no-deps -w "$WHEELS" "$FAIRSEQ"
}

build_rust() {
    # maturin's build backend looks maturin up on PATH.
    pip_install "maturin>=1.9,<2" &&
        PATH="$VENV/bin:$PATH" "$VENV_PYTHON" -m pip wheel --no-build-isolation --no-deps \
        -w "$WHEELS" ./rust_bpe
}

install_rust_core() {
    local began=$SECONDS
    if [ ! -f rust_bpe/Cargo.toml ]; then
        return
    elif [ -z "$(rust_version)" ]; then
        say "rust_bpe: no Rust compiler on PATH; the Python twin of the tokenizer serves (slower)"
        return
    fi
    say "rust_bpe: building the compiled tokenizer core with $(rust_version)"
    if build_rust >"$LOGS/rust.log" 2>&1 </dev/null; then
        say "    $((SECONDS - began)) s"
        step rust-install "rust_bpe: installing it" \
            pip_install --no-deps --force-reinstall "$WHEELS"/ecg_bpe-*.whl
    else
        tail -n 15 "$LOGS/rust.log" >&2
        say "rust_bpe: WARNING: it did not build (all lines: $LOGS/rust.log); the Python twin of" \
            "the tokenizer serves (slower). It may need a newer Rust, or network for cargo"
    fi
}

install_fairseq() {
    local began=$1 pid=$2
    say "fairseq: waiting for it (a build takes 2 to 4 minutes on two cores)"
    wait "$pid" || explain_failure fairseq-build "$LOGS/fairseq-build.log"
    background_group=""
    say "    ready $((SECONDS - began)) s after its start"
    step fairseq "fairseq: installing $FAIRSEQ" \
        pip_install --no-deps --force-reinstall "$WHEELS"/fairseq_fixed-*.whl
}

report_downloads() {
    cat "$LOGS"/*.log | awk '
        match($0, /Downloading .* \([0-9.]+ (kB|MB|GB)/) {
            size = substr($0, RSTART, RLENGTH); sub(/.*\(/, "", size); split(size, part, " ")
            total += part[1] * (part[2] == "GB" ? 1000 : part[2] == "MB" ? 1 : 0.001); files += 1
        }
        /Using cached / { cached += 1 }
        END { printf "downloaded %d files, %d MB; %d came from a cache\n", files, total, cached }'
}

set_up() {
    local python=$1 stamp=$2 began pid=""
    make_venv "$python"
    rm -f "$STAMP_FILE" "$LOGS"/*.log "$WHEELS"/*.whl
    install_torch
    step tools "tools: setuptools wheel cython numpy" \
        pip_install "pip>=24" "setuptools>=68" wheel "cython>=3" numpy
    if ! has_fairseq; then
        say "fairseq: fetching and, where no ready wheel fits, compiling $FAIRSEQ in the background"
        began=$SECONDS
        set -m  # its own process group, so that an interrupted set-up can stop the compilers too
        build_fairseq >"$LOGS/fairseq-build.log" 2>&1 </dev/null 9>&- &
        pid=$!
        set +m
        background_group=$pid
    fi
    # Compat mode puts the checkout itself on sys.path: fairseq needs the package's real folder.
    step package "ecg_fairseq: its requirements, and itself as an editable install" \
        pip_install --no-build-isolation -c "$VENV/setup-constraints.txt" \
        --config-settings editable_mode=compat -e ".[fairseq-needs,metrics,dicom,dev]"
    install_rust_core
    [ -z "$pid" ] || install_fairseq "$began" "$pid"
    rm -rf "$WHEELS"
    say "$(report_downloads)"
    say "checking with ecg-fairseq doctor"
    "$VENV/bin/ecg-fairseq" doctor || die "the doctor found problems; see above."
    printf '%s\n' "$stamp" >"$STAMP_FILE.new"
    mv "$STAMP_FILE.new" "$STAMP_FILE"
    say "done in $((SECONDS - STARTED)) s; use it with: source .venv/bin/activate"
}

main() {
    local mode=${1:-} python stamp
    case "$mode" in
        "" | --check | --print-stamp) ;;
        *) printf 'usage: bash scripts/setup.sh [--check | --print-stamp]\n' >&2
            exit 2 ;;
    esac
    python=$(find_python) || exit 1
    stamp=$(print_stamp "$python")
    if [ "$mode" = --print-stamp ]; then
        printf '%s\n' "$stamp"
        return
    fi
    if [ -z "$mode" ] && is_up_to_date "$stamp"; then
        say "nothing changed since the last set-up of $VENV"
        return
    fi
    check_machine "$python"
    if [ "$mode" = --check ]; then
        say "this machine has what it takes: $(describe_python "$python") and a C++ compiler"
        return
    fi
    if command -v flock >/dev/null; then  # two set-ups of one folder at a time would mix
        exec 9<"$PROJECT"
        flock -n 9 || { say "waiting for another set-up of this folder" && flock 9; }
        ! is_up_to_date "$stamp" || return 0
    fi
    set_up "$python" "$stamp"
}

main "$@"
