"""Configuration: every preset loads, later layers win, and a wrong key or value is named with a way out."""

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nrem.memory.errors import ConfigError
from nrem.runtime.config import Config, Flags, config_from_dict, load_config, presets, to_dict, to_toml

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "configs").glob("*.toml")))
def test_every_preset_loads_and_differs_from_the_defaults_by_its_own_values(name: str) -> None:
    assert name in presets()
    config = load_config(name)
    assert load_config(ROOT / "configs" / f"{name}.toml") == config
    assert (name == "default") == (config == Config())


def test_every_field_has_a_line_of_documentation() -> None:
    import ast
    import inspect

    for section in dataclasses.fields(Config):
        if dataclasses.is_dataclass(section.type):
            body = ast.parse(inspect.getsource(section.type)).body[0]  # type: ignore[arg-type]
            assert isinstance(body, ast.ClassDef)
            named = [
                (i, node.target.id)
                for i, node in enumerate(body.body)
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
            ]
            for index, field in named:
                following = body.body[index + 1] if index + 1 < len(body.body) else None
                documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
                assert documented, f"{section.name}.{field} has no documentation"


def test_defaults_then_file_then_settings(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("seed = 3\n[sleep]\npasses = 5\npatience = 4\n[stream]\nchunk_tokens = 64\n", encoding="utf-8")
    config = load_config(path, ["sleep.passes=9", "model.name=my-model", "sleep.replay=0.25"])
    assert (config.seed, config.sleep.passes, config.sleep.patience, config.sleep.replay) == (3, 9, 4, 0.25)
    assert (config.model.name, config.stream.chunk_tokens, config.stream.window_tokens) == ("my-model", 64, 1024)


def test_flags_are_values_over_the_file_and_under_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[sleep]\npasses = 5\npatience = 4\n", encoding="utf-8")
    flags: Flags = {"--passes": {"sleep": {"passes": 3, "allocator": "uniform"}}, "--model": {"model": {"name": "123"}}}
    config = load_config(path, ["sleep.allocator=elimination"], flags)
    assert (config.sleep.passes, config.sleep.patience, config.sleep.allocator) == (3, 4, "elimination")
    assert config.model.name == "123", "a value, not text that is read as a number"
    assert config.given == {
        "sleep.passes": "--passes",
        "sleep.patience": f"--config {path}",
        "sleep.allocator": "--set sleep.allocator=elimination",
        "model.name": "--model",
    }
    assert config_from_dict(to_dict(config), (), flags).given == {
        "sleep.passes": "--passes",
        "sleep.allocator": "--passes",
        "model.name": "--model",
    }


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            {"--passes": {"sleep": {"passes": -1}}, "--model": {"model": {"name": "m"}}},
            "--passes: sleep.passes: got -1, expected 0 or more",
        ),
        ({"--passes": {"sleep": {"passes": "x"}}}, "--passes: sleep.passes"),
        ({"--passes": {"sleep": {"pases": 1}}}, "--passes: unknown key sleep.pases; did you mean sleep.passes?"),
    ],
)
def test_a_wrong_flag_is_named_by_its_own_name(flags: Flags, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_config(None, (), flags)


def test_what_was_given_is_no_setting_and_not_saved() -> None:
    config = load_config(None, ["seed=3"])
    assert config.given == {"seed": "--set seed=3"}
    assert "given" not in to_dict(config)
    assert "given" not in to_toml(config)
    with pytest.raises(ConfigError, match=r"--set given=3: unknown key given; known are model, "):
        load_config(None, ["given=3"])


def test_the_flag_names_every_preset() -> None:
    from nrem.runtime.commands.options import ConfigOption

    (option,) = ConfigOption.__metadata__  # type: ignore[attr-defined]
    *_, listed = re.findall(r"\((.*)\)", option.help)
    assert listed.split(", ") == presets()


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    name=st.text(st.characters(codec="utf-8"), max_size=20),
    passes=st.one_of(st.just("auto"), st.integers(0, 100)),
    replay=st.floats(0, 10),
    enabled=st.booleans(),
)
def test_toml_and_dictionary_come_back_equal(
    tmp_path_factory: pytest.TempPathFactory, seed: int, name: str, passes: int | str, replay: float, enabled: bool
) -> None:
    base = Config()
    config = dataclasses.replace(
        base,
        seed=seed,
        model=dataclasses.replace(base.model, name=name),
        sleep=dataclasses.replace(base.sleep, passes=passes, replay=replay),  # type: ignore[arg-type]
        guard=dataclasses.replace(base.guard, enabled=enabled),
    )
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert load_config(path) == config
    assert config_from_dict(to_dict(config)) == config


@pytest.mark.parametrize(
    ("settings_", "words"),
    [
        (["sleep.pases=3"], "--set sleep.pases=3: unknown key sleep.pases; did you mean sleep.passes?"),
        (["zzz=3"], "--set zzz=3: unknown key zzz; known are model, protocol, stream"),
        (["sleep=3"], "--set sleep=3: sleep is a section, got 3; set one of its keys, such as sleep.passes"),
        (["sleep.replay=many"], "--set sleep.replay=many: sleep.replay is 'many'; input should be a valid number"),
        (
            ["sleep.allocator=best"],
            "--set sleep.allocator=best: sleep.allocator: got 'best', expected uniform, elimination, greedy or priced",
        ),
        (["sleep.passes=-1"], "--set sleep.passes=-1: sleep.passes: got -1, expected 0 or more"),
        (["stream.window_tokens=100"], "stream.chunk_tokens: got 256, expected at most stream.window_tokens, 100"),
        (["sleep.passes"], "--set sleep.passes: expected KEY=VALUE such as sleep.passes=8"),
        (["=3"], "--set =3: expected KEY=VALUE"),
    ],
)
def test_a_wrong_setting_is_named(settings_: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_config(None, settings_)


def test_a_wrong_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--config quick: no such preset or file; the presets are default, fast"):
        load_config("quick")
    with pytest.raises(ConfigError, match=r"--config .*gone\.toml: no such file"):
        load_config(tmp_path / "gone.toml")
    path = tmp_path / "torn.toml"
    path.write_text("[sleep\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"torn\.toml: not valid TOML \(.*line 1.*\); correct that line"):
        load_config(path)
    path.write_text("[sleep]\npases = 3\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"torn\.toml: unknown key sleep\.pases; did you mean sleep\.passes\?"):
        load_config(path)
