"""Which files make up one model, by their names."""

from __future__ import annotations

import re

ARCHIVES = (".keras", ".mar", ".nemo", ".tar", ".tar.gz", ".tgz", ".zip")
"""Names of files that hold a whole model by themselves, whatever lies beside them."""

SHARD = re.compile(
    r"\d+-of-\d+|(^|[-_.])(part|rank|shard)[-_.]?\d+|^consolidated\.\d+\.|^mp_rank_\d+|zero_pp_rank_\d+",
    re.IGNORECASE,
)
"""File names of one piece of a model: of Hugging Face, Megatron, DeepSpeed, Llama."""

NOTES = re.compile(
    r"(readme|licen[cs]e|notice|use_policy).*|.*\.(md|log|md5|sha256|png|jpe?g)|\.\w+|_success", re.IGNORECASE
)
"""File names of what may lie beside weights without belonging to the model."""

INDEX = re.compile(
    r"(model_index|modules|config|adapter_config|generation_config|config_sentence_transformers|params)\.json"
    r"|.*\.index\.json|tokenizer.*|saved_model\.pb|config\.pbtxt|MLmodel"
)
"""File names that say: this folder, with all folders in it, is one model."""


def archive(key: str) -> bool:
    """Whether *key* is the name of a file that is a whole model by itself."""
    return key.lower().endswith(ARCHIVES)


def shard(file: str) -> bool:
    """Whether *file* is one piece of a model."""
    return SHARD.search(file) is not None


def index(file: str) -> bool:
    """Whether *file* says that its folder, with all folders in it, is one model."""
    return INDEX.fullmatch(file) is not None


def belongs(file: str) -> bool:
    """Whether *file* may belong to the model beside it: it is no folder's marker and no note."""
    return bool(file) and not NOTES.fullmatch(file)
