#!/usr/bin/env bash
# The whole main job: records -> manifest -> tokenizer -> training -> answers -> scores -> picture.
#
# usage: bash scripts/quickstart.sh [--out DIR] [--seed S] [--smoke] [--ptb-xl DIR [--ecg-qa DIR]]
#
# Sets up .venv first if needed. Run it again with the same arguments to go on after an interruption.
set -euo pipefail

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
for argument in "$@"; do
    case "$argument" in
        -h | --help) sed -n '2,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    esac
done
bash "$PROJECT/scripts/setup.sh" >&2
exec "$PROJECT/.venv/bin/python" "$PROJECT/scripts/quickstart.py" "$@"
