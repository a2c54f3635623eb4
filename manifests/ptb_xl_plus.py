"""``ecg-fairseq prepare ptb_xl_plus`` as a script; its options: ``--help``."""

import sys

from ecg_fairseq.cli.prepare import run_script

if __name__ == "__main__":
    sys.exit(run_script(__file__))
