"""``ecg-fairseq prepare ecg_qa`` as a script; its options: ``--help``."""

import sys

from ecg_fairseq.cli.prepare import run_script

if __name__ == "__main__":
    sys.exit(run_script(__file__))
