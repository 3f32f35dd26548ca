"""Rules files: everything that is wrong, with its place; and what is right, read alike anywhere."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest

from collector.accounting import Accounting
from collector.errors import ConfigError
from collector.rules.bench import in_force
from collector.rules.file import RulesFileWatch, load, parse_rules, ruleset
from collector.rules.reference import files, json_schema
from collector.runs.judge import RulesInForce
from otel_agentrun.rules import DEFAULTS, Ruleset, RulesFile, action
from otel_agentrun.rules.plain_file import RulesError, read
from otel_agentrun.rules.ruleset import plain
from tests.rules.builders import call, found

ROOT = Path(__file__).parents[2]
GOOD = """\
budgets:
  - name: refund-cost
    match: agent_name == "refund_agent" and tags.team == "risk"
    measure: cost_usd
    limit: 5
    limit_by_environment: {dev: 0.5}
    escalate: {warn: 0.8, kill: 1}
loops:
  - {name: repeated-call, pattern: repeated_call, limit: 9, tools: ["find*"]}
policies:
  - name: large-refunds
    policy: approval
    tools: ["refund*"]
    when: arguments.amount > 100
"""


def report(text: str) -> str:
    with pytest.raises(ConfigError) as error:
        parse_rules(text, "rules.yaml")
    return str(error.value)


def test_all_mistakes_are_in_one_report_with_their_places() -> None:
    """Where, what, why, what to do: as in the config.  Of a list with a bad item in it no more is
    said than that."""
    said = report(
        "budgets:\n"
        "  - name: a\n"
        "    measure: stepps\n"
        "    limit: -1\n"
        "  - {name: b, measure: cost_usd, limit: 1, per: user}\n"
        "loops:\n"
        "  - {name: b, pattern: cycle, limit: 3, escalate: {kill: 1, warn: 2}}\n"
        "policies:\n"
        "  - {name: p, policy: approval, when: 'foo == 1'}\n"
        "colour: red\n"
    )
    lines = [line for line in said.splitlines() if line.startswith("rules.yaml")]
    assert [line.split(": ")[0] + ": " + line.split(": ")[1] for line in lines] == [
        "rules.yaml:3:14: budgets[0].measure",
        "rules.yaml:4:12: budgets[0].limit",
        "rules.yaml:7:51: loops[0].escalate",
        "rules.yaml:9:5: policies[0]",
        "rules.yaml:9:39: policies[0].when",
        "rules.yaml:10:1: colour",
    ]
    assert "did you mean `steps`?" in said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[1]", "expected settings"),
        ("budgets: [{name: b, measure: cost_usd, limit: 1, per: user}]", "hour, day or month"),
        (
            "budgets: [{name: b, measure: steps, limit: 1}]\n"
            "loops: [{name: b, pattern: cycle, limit: 2}]",
            "`b`, as budgets[0]",
        ),
        ("loops: [{name: x, pattern: cycle, limit: 1, escalate: {}}]", "at least one action"),
        ("budgets: [{name: x, measure: steps, limit: 1, match: 'color == 1'}]", "names of a run"),
        ("budgets: [{name: x, measure: steps, limit: 1, per: request}]", "cost_usd"),
        ("budgets: [{name: x, measure: depth, limit: 1, per: user, window: day}]", "adds up"),
        ("budgets: [{name: x, measure: tokens, limit: 1, unknown_usage: count_steps}]", "unknown"),
        ("budgets: [{name: x, measure: steps, limit: 1, window: day}]", "no window"),
        ("policies: [{name: x, policy: required_step}]", "`kinds` or `tools`"),
        ("policies: [{name: UPPER, policy: guessing}]", "1 to 64 of a-z"),
    ],
)
def test_contradictions_are_refused(text: str, expected: str) -> None:
    assert expected in report(text)


def test_a_rule_replaces_the_built_in_one_of_its_name() -> None:
    rules = {rule.name: rule for rule in Ruleset(parse_rules(GOOD, "r"), DEFAULTS).rules}
    assert rules["repeated-call"].limit == 9  # type: ignore[attr-defined]
    assert len(rules) == len(DEFAULTS.rules) + 2
    off = "loops: [{name: cycle, pattern: cycle, limit: 3, enabled: false}]"
    assert "cycle" not in {r.name for r in Ruleset(parse_rules(off, "r"), DEFAULTS).rules}
    own = Ruleset(parse_rules("defaults: false\n" + GOOD, "r"), DEFAULTS)
    assert len(own.rules) == 3


def test_rules_apply_where_their_expression_fits() -> None:
    found = Ruleset(parse_rules("defaults: false\n" + GOOD, "r"), DEFAULTS)
    risk = {"agent_name": "refund_agent", "tags": {"team": "risk"}}

    assert [b.name for b in found.select(risk).budgets] == ["refund-cost"]
    assert found.select({"agent_name": "other"}).budgets == []
    assert found.select(risk) is found.select(dict(risk))


def test_the_version_follows_what_the_rules_say() -> None:
    """Not how they are written: a comment is no new version."""
    one = Ruleset(parse_rules(GOOD, "r"), DEFAULTS).version
    assert one == Ruleset(parse_rules("# comment\n" + GOOD, "other"), DEFAULTS).version
    assert one != Ruleset(parse_rules(GOOD.replace("limit: 5", "limit: 6"), "r"), DEFAULTS).version


def test_applications_read_the_same_rules_from_plain_values() -> None:
    """No YAML reader is needed where the agent runs."""
    file = parse_rules(GOOD, "r")
    again = read(json.loads(json.dumps(plain(file))))
    assert again == file
    spelled = in_force(Ruleset(file, DEFAULTS))
    assert Ruleset(read(json.loads(json.dumps(spelled["file"])))).version == spelled["version"]


def test_plain_values_are_read_strictly() -> None:
    with pytest.raises(RulesError) as error:
        read({"loops": [{"name": "x", "pattern": "cycel", "limit": 0}], "budgetz": []})
    said = str(error.value)
    assert "budgetz: unknown; did you mean `budgets`?" in said
    assert "loops[0].pattern: expected" in said
    assert "loops[0].limit: expected at least 1" in said
    with pytest.raises(RulesError, match="has no default"):
        read({"loops": [{"name": "x"}]})
    with pytest.raises(RulesError, match="at least one action"):
        read({"loops": [{"name": "x", "pattern": "cycle", "limit": 2, "escalate": {}}]})


def test_the_built_in_rules_never_stop_anything() -> None:
    for rule in DEFAULTS.rules:
        assert set(rule.escalate) == {"flag"}
    [finding] = found(DEFAULTS, [call(n, result_digest="r") for n in range(30)])
    assert action(finding, next(r for r in DEFAULTS.rules if r.name == finding.rule)) == "flag"


def test_a_file_is_put_in_force_when_it_changes_and_right(tmp_path: Path) -> None:
    """Hot reload: a mistake is reported and changes nothing."""
    path = tmp_path / "rules.yaml"
    path.write_text(GOOD)
    rules = RulesInForce(ruleset(path))
    accounting = Accounting()
    watch = RulesFileWatch(path, rules, accounting)
    first = rules.ruleset

    def write(text: str, at: int) -> None:
        path.write_text(text)
        os.utime(path, ns=(at, at))
        watch.look()

    watch.look()
    assert rules.ruleset is first
    write("budgets: [{}]\n", 1)
    assert rules.ruleset is first
    assert "rules.yaml:1" in accounting.snapshot().last_errors["rules"].message
    write(GOOD.replace("limit: 5", "limit: 6"), 2)
    assert rules.ruleset.version != first.version
    path.unlink()
    watch.look()
    assert len(rules.ruleset.rules) == len(first.rules)


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a readable file"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize("path", sorted(files(ROOT)))
def test_generated_files_are_current(path: str) -> None:
    """`make docs` writes them anew."""
    assert (ROOT / path).read_text(encoding="utf-8") == files(ROOT)[path]


def test_the_schema_takes_what_the_reader_takes() -> None:
    jsonschema.validate(plain(parse_rules(GOOD, "r")), json_schema())
    jsonschema.validate(plain(RulesFile()), json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"loops": [{"name": "x", "pattern": "cycel"}]}, json_schema())


def test_the_example_of_the_page_is_read() -> None:
    page = (ROOT / "docs/rules.md").read_text(encoding="utf-8")
    example = page.partition("```yaml\n")[2].partition("```")[0]
    assert len(parse_rules(example, "docs/rules.md").rules) == 5
