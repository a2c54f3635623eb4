"""Run by test_export in a process of its own: an exported folder, without this package.

usage: python -I plain_transformers.py FOLDER... ; prompts come from FOLDER/prompts.json, written by
the test, and answers and logits go to FOLDER/answers.json.
"""

import importlib.abc
import json
import sys
from pathlib import Path


class Blocker(importlib.abc.MetaPathFinder):
    """Refuses our package and fairseq."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ecg_fairseq", "fairseq", "ecg_bpe"):
            raise ModuleNotFoundError(f"{name} is blocked")
        return None


sys.meta_path.insert(0, Blocker())

import torch  # noqa: E402
from peft import PeftModel  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig  # noqa: E402


def load(folder: Path, facts: dict):
    """Load as the model card says."""
    if facts["weights"] == "model":
        return AutoModelForCausalLM.from_pretrained(folder)
    base = AutoModelForCausalLM.from_pretrained(facts["base"])
    base.resize_token_embeddings(facts["num_rows"], mean_resizing=False)
    return PeftModel.from_pretrained(base, folder)


def main() -> None:
    """Answer every folder's prompts."""
    for name in sys.argv[1:]:
        folder = Path(name)
        facts = json.loads((folder / "ecg_fairseq.json").read_text())
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = load(folder, facts).eval()
        settings = GenerationConfig.from_pretrained(folder)
        results = []
        for prompt in json.loads((folder / "prompts.json").read_text()):
            question = tokenizer.encode(
                prompt["question"], add_special_tokens=False, split_special_tokens=True
            )
            rows = [facts["bos_id"], facts["sig_start_id"]]
            rows += [facts["row_of_ecg_id"][str(k)] for k in prompt["ecg_ids"]]
            rows += [facts["sig_end_id"], *question]
            ids = torch.tensor([rows])
            with torch.no_grad():
                logits = model(input_ids=ids).logits[0]
                answer = model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    generation_config=settings,
                    max_new_tokens=8,
                )[0, len(rows) :]
            text = tokenizer.decode(answer, skip_special_tokens=True)
            text = " ".join(text.split())
            results.append({"rows": rows, "logits": logits.tolist(), "answer": text})
        (folder / "answers.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()
