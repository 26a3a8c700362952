"""Runs tools that encode the same pairs, each from a clone that the user has, as their own code does it.

    python benchmarks/peers.py --tars 'pairs-*.tar' --weights ViT-B-32.pt --clip-retrieval ../clip-retrieval

Prints a line of JSON a peer, `skipped` with the reason where it can't run. All
get the same weights, the same bytes in as many tars as they need, the same
batch and open_clip's preprocessing, and run in a process of their own; CPU
seconds are counted as in eager_loop.py, from the moment that the model is
loaded.

- clip-retrieval (rom1504): Runner with WebdatasetReader, ClipMapper and
  NumpyWriter. all_clip.load_clip gives our model; the logger, a process of its
  own, is left out.
- CLIP-MIA (reds-lab, Ko et al. 2023): the loader of data.py and
  select_pseudotrain over one data set with no threshold. Main can't run without
  the authors' folders; its evaluation has the same loop. nltk, which would
  download words, is replaced by a split at spaces.
- CLIP-MIA-Bench (lluisgomez, Gomez 2026): csa.extract_cos, which always has
  four loaders.

They need webdataset and pandas, which tui-mia doesn't: --python is an
interpreter that has these and open_clip.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from eager_loop import Clock, Target, add_options, find_pairs, load, read_pair

# CLIP-MIA-Bench starts four loaders, and a loader without a tar of its own is an error.
LEAST_TARS = 4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs the peers")
    for peer in PEERS:
        parser.add_argument(f"--{peer}", metavar="CLONE", type=Path)
    parser.add_argument("--only", choices=PEERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        run(arguments.only, arguments)
        return
    with tempfile.TemporaryDirectory() as name:
        for peer in PEERS:
            clone = getattr(arguments, peer.replace("-", "_"))
            outcome = start(peer, clone, arguments, Path(name)) if clone else {"skipped": "no clone given"}
            print(json.dumps({"peer": peer, **outcome}), flush=True)


def start(peer: str, clone: Path, arguments: Namespace, folder: Path) -> dict[str, Any]:
    """What a peer says of itself in a process of its own, or why it says nothing."""
    if not clone.is_dir():
        return {"skipped": f"{clone} is not a folder"}
    tars = folder / "tars"
    if not tars.exists():
        share_out(arguments, tars)
    work = folder / peer
    work.mkdir()
    command = [arguments.python, str(Path(__file__).resolve()), "--only", peer, f"--{peer}"]
    command += [str(clone.resolve()), "--tars", str(tars / "*.tar")]
    command += ["--weights", str(arguments.weights.resolve()), "--workers", str(arguments.workers)]
    command += ["--device", arguments.device, "--batch", str(arguments.batch)]
    if arguments.model:
        command += ["--model", arguments.model]
    # Some write into the folder in which they run, and take a GPU unasked.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""} if arguments.device == "cpu" else None
    result = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    if result.returncode:
        return {"skipped": (result.stderr.strip().splitlines() or [f"exit code {result.returncode}"])[-1]}
    outcome: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return outcome


def share_out(arguments: Namespace, folder: Path) -> None:
    """Write the pairs into tars of a folder in turn, with the address that CLIP-MIA asks of each."""
    folder.mkdir()
    pairs = find_pairs(arguments.tars)[: arguments.limit]
    count = max(LEAST_TARS, arguments.workers)
    tars = [tarfile.open(folder / f"{number:05d}.tar", "w") for number in range(count)]  # noqa: SIM115
    for number, pair in enumerate(pairs):
        image, caption = read_pair(pair)
        address = json.dumps({"url": f"pair:{number}"}).encode()
        for kind, content in {"jpg": image, "txt": caption, "json": address}.items():
            member = tarfile.TarInfo(f"{number:08d}.{kind}")
            member.size = len(content)
            tars[number % count].addfile(member, io.BytesIO(content))
    for tar in tars:
        tar.close()


def run(peer: str, arguments: Namespace) -> None:
    """Run a peer in this process, in the current folder, and print its line."""
    sys.path.insert(0, str(getattr(arguments, peer.replace("-", "_"))))
    # What peers say on their way is not data.
    stdout, sys.stdout = sys.stdout, sys.stderr
    target = load(arguments.weights, arguments.model, arguments.device)
    try:
        encode = PEERS[peer](target, arguments)
    except ModuleNotFoundError as error:
        line: dict[str, Any] = {"skipped": f"{error}; --python is for an interpreter that has it"}
    else:
        clock = Clock()
        line = dict(clock.line(encode()))
    print(json.dumps(line), file=stdout)


def clip_retrieval(target: Target, arguments: Namespace) -> Callable[[], Any]:
    """The way of its worker.py, and the similarities of what it has written."""
    import numpy as np
    import torch

    # Its __init__ would import a web server and an index.
    for package in ("clip_retrieval", "clip_retrieval.clip_inference"):
        put_module(package, __path__=[str(Path(arguments.clip_retrieval, *package.split(".")))])
    put_module("all_clip", load_clip=lambda **_: (target.model, target.preprocess, target.tokenizer))
    # Only for a multilingual text tower.
    put_module("sentence_transformers", SentenceTransformer=None)
    reader = importlib.import_module("clip_retrieval.clip_inference.reader")
    mapper = importlib.import_module("clip_retrieval.clip_inference.mapper")
    writer = importlib.import_module("clip_retrieval.clip_inference.writer")
    runner = importlib.import_module("clip_retrieval.clip_inference.runner")
    # Imported by it on first use.
    for name in ("webdataset", "pandas"):
        importlib.import_module(name)
    enabled = {"enable_image": True, "enable_text": True, "enable_metadata": False}
    output = Path("embeddings").resolve()
    tars = [str(tar) for tar in sorted(Path(arguments.tars).parent.glob("*.tar"))]
    run_partition = runner.Runner(
        reader_builder=lambda sampler: reader.WebdatasetReader(
            sampler, target.preprocess, target.tokenizer, tars, arguments.batch, arguments.workers, **enabled
        ),
        mapper_builder=lambda: mapper.ClipMapper(
            **enabled, use_mclip=False, clip_model="", use_jit=False, mclip_model=""
        ),
        writer_builder=lambda partition: writer.NumpyWriter(
            partition, str(output), output_partition_count=1, **enabled
        ),
        logger_builder=lambda _: NoLogger(),
        output_partition_count=1,
    )

    def encode() -> Any:
        run_partition(0)
        images = np.load(output / "img_emb" / "img_emb_0.npy").astype(np.float32)
        texts = np.load(output / "text_emb" / "text_emb_0.npy").astype(np.float32)
        return torch.from_numpy((images * texts).sum(axis=1))

    return encode


class NoLogger:
    """In the place of clip-retrieval's, which starts a process to write how far it is."""

    def start(self) -> None: ...

    def end(self) -> None: ...

    def __call__(self, stats: dict[str, float]) -> None: ...


def clip_mia(target: Target, arguments: Namespace) -> Callable[[], Any]:
    """Its selection of pseudo-members from one set of pairs, all of which are above the threshold."""
    import numpy as np
    import torch

    put_module("nltk", __path__=[], download=lambda _: None)
    put_module("nltk.corpus", stopwords=Namespace(words=lambda _: ["a", "and", "in", "of", "on", "the"]))
    put_module("nltk.tokenize", word_tokenize=str.split)
    put_module("nltk.stem", __path__=[])
    put_module("nltk.stem.porter", PorterStemmer=None)
    data = importlib.import_module("data")
    selection: Any = importlib.import_module("pseudotrain_selection")
    # Texts and addresses that LAION shares with three other sets, which are empty here.
    for name in ("CC3M", "CC12M", "MSCOCO"):
        for kind in ("", "_unqiue", "_url"):
            np.save(f"{name}_LAION{kind}_commonset.npy", np.array(["no such text"]))
    selection.get_data_val = lambda *_: data.DataInfo(dataloader=[])
    first, *_, last = sorted(path.stem for path in Path(arguments.tars).parent.glob("*.tar"))
    options = Namespace(
        val_data=str(Path(arguments.tars).parent / f"{{{first}..{last}}}.tar"),
        val_num_samples=0,
        batch_size=arguments.batch,
        # Its loaders stay alive between epochs, which needs one.
        workers=max(1, arguments.workers),
        dataset_type="webdataset",
        **{f"val_data_train_{number}": "" for number in (1, 2, 3)},
        **{f"val_num_samples_train_{number}": 0 for number in (1, 2, 3)},
    )
    preprocess = target.preprocess

    def encode() -> Any:
        pairs = data.get_data_val(options, (preprocess, preprocess)).dataloader
        found = selection.select_pseudotrain(
            options, target.model, ["no such text"], ["no such pair"], pairs,
            -2.0, preprocess, preprocess, torch.device(arguments.device), sys.maxsize,
        )  # fmt: skip
        return torch.tensor(np.array(found[2]))

    return encode


def clip_mia_bench(target: Target, arguments: Namespace) -> Callable[[], Any]:
    """Its extraction of cosines, which it stores too."""
    import torch

    sys.path.insert(0, str(Path(arguments.clip_mia_bench, "baselines")))
    csa = importlib.import_module("csa")
    options = Namespace(device=arguments.device, batch_size=arguments.batch, out_dir=".")

    def encode() -> Any:
        cosines = csa.extract_cos(
            arguments.tars, target.model, target.tokenizer, target.preprocess, options, "pairs"
        )
        return torch.from_numpy(cosines)

    return encode


def put_module(name: str, **content: Any) -> None:
    """Have `import name` find this instead of what may be installed."""
    module = ModuleType(name)
    module.__dict__.update(content)
    sys.modules[name] = module


PEERS: dict[str, Callable[[Target, Namespace], Callable[[], Any]]] = {
    "clip-retrieval": clip_retrieval,
    "clip-mia": clip_mia,
    "clip-mia-bench": clip_mia_bench,
}


if __name__ == "__main__":
    main()
