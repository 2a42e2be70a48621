"""The configuration: one section per part, defaults < preset or file < `--set`, and every wrong key or value named.

The section classes live beside their parts; `configs/` holds values only. The resolved configuration is saved with each memory.
"""

import difflib
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from nrem.consolidation.allocate.config import SleepConfig
from nrem.consolidation.dream.config import DreamConfig
from nrem.consolidation.guard_config import GuardConfig
from nrem.consolidation.probe.probes import ProbeConfig
from nrem.consolidation.write.config import StudyConfig
from nrem.memory.arguments import check_kind, check_list
from nrem.memory.errors import ConfigError, NremError
from nrem.memory.stream.window import StreamConfig
from nrem.memory.weights.config import FastWeightsConfig
from nrem.runtime.wake.config import AnswerConfig

T = TypeVar("T")
DEEPEST = 8
"""Parts of a key, and sections within sections, that are looked at; there are two at most."""
LONGEST_SHOWN = 100
"""Characters of a value in a message."""
RENAMED = {"rule": "study"}
"""Sections under the names that they had in memories that are still around."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    name: str = "smollm2-135m"
    """`smollm2-135m`, a Hugging Face id, a folder or a .gguf file."""
    load_in: Literal["", "4bit", "8bit"] = ""
    """Quantise the base's weights with bitsandbytes."""
    dtype: str = "auto"
    """auto, bf16, fp32 or fp16."""
    revision: str = ""
    """Revision of a Hugging Face id."""


@dataclass(frozen=True, kw_only=True)
class ProtocolConfig:
    name: str = "auto"
    """`auto`: the shipped protocol that was trained on this base model, else `unlearned`: the ridge write as it is before training;
    `untrained`: study items made from the text, by gradient; a protocol's folder, or the name of one that comes with nrem; or the name
    of a write rule that learns nothing beforehand."""


@dataclass(frozen=True, kw_only=True)
class Config:
    model: ModelConfig = field(default_factory=ModelConfig)
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    stream: StreamConfig = field(default_factory=StreamConfig)
    fast_weights: FastWeightsConfig = field(default_factory=FastWeightsConfig)
    dreams: DreamConfig = field(default_factory=DreamConfig)
    probes: ProbeConfig = field(default_factory=ProbeConfig)
    study: StudyConfig = field(default_factory=StudyConfig)
    sleep: SleepConfig = field(default_factory=SleepConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)
    answer: AnswerConfig = field(default_factory=AnswerConfig)
    seed: int = 0
    """Seed of what is drawn: further dreams, votes, and, where nothing was learned, the start of the fast
    weights and the study questions."""
    given: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False, metadata={"setting": False})
    """No setting: which keys were set by whoever called, and where, such as `--set seed=2`. Not saved."""


def presets() -> list[str]:
    """Names of the presets that come with nrem."""
    files = resources.files("nrem.configs").iterdir()
    return sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml"))


Flags = Mapping[str, Mapping[str, Any]]
"""Values that flags stand for, by the name that errors give the flag: `{"--passes": {"sleep": {"passes": 4, "allocator": "uniform"}}}`."""


def load_config(source: str | Path | None = None, settings: Sequence[str] = (), flags: Flags | None = None) -> Config:
    """Resolve a configuration: `source` is a preset's name or a TOML file (None: `default`), `settings` are `a.b=c` strings.

    Later ones win: source, then flags, then settings. Keys that a file only repeats from the defaults do not count as given: files that
    nrem writes list every key.
    """
    if source is not None:
        check_kind("source", source, (str, Path), "a preset's name or a TOML file")
    check_list("settings", settings, str, "texts such as sleep.passes=8")
    name = "default" if source is None else str(source)
    values, over = _read_toml(name), [*(flags or {}).items(), *setting_layers(settings)]
    config = resolve(Config, [(name, values), *over])
    defaults = _flat(asdict(Config()))
    own = {key: f"--config {name}" for key, value in _flat(values).items() if value != defaults[key]}
    return replace(config, given=own | _given(over))


def config_from_dict(values: Mapping[str, Any], settings: Sequence[str] = (), flags: Flags | None = None) -> Config:
    """The configuration of a saved memory, with flags and `a.b=c` strings over it; what was saved does not count as given."""
    values = {RENAMED.get(key, key): value for key, value in values.items()}
    over = [*(flags or {}).items(), *setting_layers(settings)]
    return replace(resolve(Config, [("saved configuration", values), *over]), given=_given(over))


def setting_layers(settings: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """`a.b=c` strings as layers for `resolve`."""
    return [(f"--set {_short(text)}", _parse_setting(text)) for text in settings]


def to_dict(config: Config) -> dict[str, Any]:
    """All settings, for `config_from_dict`."""
    return {key: value for key, value in asdict(config).items() if key in _settings(Config)}


def to_toml(config: Config) -> str:
    """TOML text that `load_config` reads back to an equal configuration."""
    values = to_dict(config)
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for section, entries in values.items():
        if isinstance(entries, dict):
            lines += ["", f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in entries.items())]
    return "\n".join(lines) + "\n"


def resolve(kind: type[T], layers: Sequence[tuple[str, Mapping[str, Any]]]) -> T:
    """Merge layers of values, later ones win, and validate; each layer comes with the name that errors give it."""
    merged: dict[str, Any] = {}
    for where, values in layers:
        _refuse_unknown(kind, values, where, "")
        for key, value in values.items():
            old = merged.get(key, {})
            merged[key] = {**old, **value} if isinstance(value, Mapping) and isinstance(old, Mapping) else value
    for where, values in reversed(layers):
        for key, value in _flat(values).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{where}: {key} is {value}, expected a finite number")
    try:
        return TypeAdapter(kind).validate_python(merged)
    except ValidationError as error:
        first = error.errors()[0]
        cause = (first.get("ctx") or {}).get("error")
        if isinstance(cause, NremError):
            where = next((name for name, values in reversed(layers) if any(key in str(cause) for key in _flat(values))), layers[-1][0])
            raise ConfigError(f"{where}: {cause}") from None
        path = ".".join(str(part) for part in first["loc"])
        where = next((name for name, values in reversed(layers) if _has(values, first["loc"])), layers[-1][0])
        wanted = "input should be a list, such as [1, 2]" if first["type"] == "tuple_type" else first["msg"].lower()
        raise ConfigError(f"{where}: {path} is {_short(first['input'], repr)}; {wanted}") from None


def _refuse_unknown(kind: type, values: Mapping[str, Any], where: str, prefix: str) -> None:
    known = _settings(kind)
    for key, value in values.items():
        if key not in known:
            if not prefix and key in RENAMED:
                raise ConfigError(f"{where}: the section {key} is called {RENAMED[key]} now; write {RENAMED[key]}.KEY")
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {prefix}{close[0]}?" if close else f"known are {', '.join(prefix + name for name in known)}"
            raise ConfigError(f"{where}: unknown key {_short(prefix + key)}; {hint}")
        section = known[key]
        if isinstance(section, type) and is_dataclass(section):
            if not isinstance(value, Mapping):
                raise ConfigError(
                    f"{where}: {prefix}{key} is a section, got {_short(value, repr)}; set one of its keys, such as {_example(section, key)}"
                )
            _refuse_unknown(section, value, where, f"{prefix}{key}.")


def _settings(kind: type) -> dict[str, Any]:
    """The types of the keys of a section, by name."""
    return {f.name: f.type for f in fields(kind) if f.metadata.get("setting", True)}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values under their full keys, `section.key`."""
    out: dict[str, Any] = {}
    for key, value in values.items():
        inside = isinstance(value, Mapping) and prefix.count(".") < DEEPEST
        out |= _flat(value, f"{prefix}{key}.") if inside else {f"{prefix}{key}": value}
    return out


def _given(layers: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
    return {key: where for where, values in layers for key in _flat(values)}


def _example(section: type, name: str) -> str:
    return f"{name}.{fields(section)[0].name}"


def _has(values: Mapping[str, Any], path: Sequence[Any]) -> bool:
    node: Any = values
    for part in path:
        if not isinstance(node, Mapping) or part not in node:
            return False
        node = node[part]
    return True


def _read_toml(name: str) -> dict[str, Any]:
    path = Path(name)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise ConfigError(f"--config {name}: no such file; give an existing TOML file or one of the presets {', '.join(presets())}")
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"--config {name}: not UTF-8 text near byte {error.start}; save it as UTF-8") from None
    elif name in presets():
        text = resources.files("nrem.configs").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    else:
        raise ConfigError(f"--config {name}: no such preset or file; the presets are {', '.join(presets())}")
    try:
        return tomllib.loads(text)
    except ValueError as error:  # also a number of thousands of digits
        raise ConfigError(f"--config {name}: not valid TOML ({' '.join(str(error).split())}); correct that line") from None
    except RecursionError:
        raise ConfigError(f"--config {name}: not valid TOML (nested too deeply); settings are SECTION.KEY = VALUE") from None


def _parse_setting(text: str) -> dict[str, Any]:
    """`a.b=c` as nested values; the right side is TOML, or a plain word.

    >>> _parse_setting("sleep.passes=8"), _parse_setting("model.name=my-model")
    ({'sleep': {'passes': 8}}, {'model': {'name': 'my-model'}})
    """
    path, equals, right = text.partition("=")
    parts = path.strip().split(".")
    if not equals or not path.strip() or len(parts) > DEEPEST:
        raise ConfigError(f"--set {_short(text)}: expected KEY=VALUE such as sleep.passes=8")
    try:
        value: Any = tomllib.loads(f"v = {right.strip()}")["v"]
    except (ValueError, RecursionError):  # a word; or a number of thousands of digits, which the key's type refuses
        value = right.strip()
    for part in reversed(parts):
        value = {part: value}
    return dict(value)


def _short(value: Any, shown: Callable[[Any], str] = str) -> str:
    """For a message: on one line, and not all of what somebody has pasted."""
    try:
        text = " ".join(shown(value).split())
    except (RecursionError, ValueError):  # nested, or a number, without end
        return f"a {type(value).__name__}"
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'
    return repr(value)
