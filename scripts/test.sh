#!/usr/bin/env bash
# Set up if needed, then the Rust tests (where Rust is installed) and the Python tests.
#
# usage: bash scripts/test.sh [pytest arguments]   for example: bash scripts/test.sh -m "not slow"
#
# Both kinds of test always run; the exit status is that of the first kind that failed. Python tests
# run on all cores, one thread each (-n0 among the arguments: in one process, as --pdb wants it).
# Paths among the arguments start at the project's folder. Golden tensors and recordings are looked for in
# $ECG_SHARED (default ../shared); without them the tests that need them are skipped with a reason.
set -euo pipefail

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$PROJECT"
bash scripts/setup.sh
export PATH="$PROJECT/.venv/bin:$PATH"  # tests run the console scripts that users type

cargo_status=0
if [ ! -f rust_bpe/Cargo.toml ]; then
    printf 'test: no Rust sources\n'
elif ! { cargo --version && rustc --version; } >/dev/null 2>&1; then
    printf 'test: no Rust compiler on PATH; the Rust tests are left out\n'
else
    printf 'test: cargo test\n'
    (cd rust_bpe && PYO3_PYTHON="$PROJECT/.venv/bin/python" cargo test --quiet) || cargo_status=$?
    [ "$cargo_status" -eq 0 ] || printf 'test: ERROR: cargo test failed (see above)\n' >&2
fi

printf 'test: pytest\n'
pytest_status=0
workers=$(python -c 'import os; print(len(os.sched_getaffinity(0)))')
export OMP_NUM_THREADS=1
python -m pytest -n "$workers" --dist worksteal "$@" || pytest_status=$?
[ "$cargo_status" -eq 0 ] || exit "$cargo_status"
exit "$pytest_status"
