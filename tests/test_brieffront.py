"""The front of a brief: the order, at most seven numbers, under 350 words, no jargon, and what is not known is said."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import Any

import made_up
import pytest
from test_brief import Reader

from incident_kit.asked import Decision, Owner, decision_of, owners_of
from incident_kit.briefs import briefpage
from incident_kit.briefs.brieffront import Count, Sign, counts, felt, front
from incident_kit.briefs.proposal import Change, Gain, Proposal
from incident_kit.phases import Phase


def made(**changes: Any) -> Any:
    given: dict[str, Any] = {
        "decision": None, "owners": (), "phases": made_up.PHASES, "impact": (), "proposal": made_up.proposal(),
        "answers": made_up.ANSWERS, "end": made_up.at(60),
    }  # fmt: skip
    return front(**(given | changes))


def test_a_decision_that_somebody_wrote_is_asked_of_whom_and_by_when() -> None:
    found = made(decision=Decision("Adopt per-intent?", "the head of support", date(2026, 10, 12)))
    assert (found.decision, found.whom) == ("Adopt per-intent?", "Asked of the head of support, by 12 October 2026.")
    assert made(decision=Decision("Adopt?")).whom == "Asked of nobody named yet, no date set."


def test_without_one_the_numbers_suggest_one_or_none() -> None:
    assert made().decision == "Adopt the rules “refund-policy” for refund policy and chat questions?"
    assert "nobody is named to decide" in made().whom
    worse = replace(made_up.proposal(), gains=(Gain("rewritten drafts", 40.0, 70.0, 100, "worse"),))
    assert made(proposal=worse).decision == "No decision: “refund-policy” would have made things worse."
    unknown = replace(worse, gains=(Gain("rewritten drafts", -4.0, 7.0, 100, "cannot tell"),))
    assert made(proposal=unknown).decision.startswith("No decision: we cannot tell whether “refund-policy”")
    assert made(proposal=None).decision == "No decision: no other rules were compared."
    assert made(proposal=None).rules == ""


def test_a_kind_that_is_harmed_is_to_be_looked_at_again() -> None:
    changes = (
        Change("chat", "backup model", "keeps answering", "better", ("failed look-ups",)),
        Change("refund", "backup model", "backup model", "mixed", ("failed look-ups",), ("rewritten drafts",)),
        Change("order", "keeps answering", "keeps answering", "same"),
    )
    found = made(proposal=replace(made_up.proposal("p"), changes=changes))
    assert found.decision == "Adopt the rules “p” for chat and refund questions, and look again at refund questions?"
    fate = "Backup model (with fewer failed look-ups but more rewritten drafts)"
    assert (fate, "refund") in found.changes


def test_the_first_complaint_is_told_where_nobody_noticed() -> None:
    lines = felt(made_up.PHASES[:2], end=made_up.at(60))
    assert lines[-1] == "The first complaint came after 2 min."
    assert "unknown" not in " ".join(lines)
    long = "all chats in German and French were very slow, refunds more than the others, until the provider rolled back"
    (_, text) = felt([Phase("impact", made_up.at(20), made_up.at(40), long)], end=made_up.at(60))
    assert long[1:] in text, "nothing is cut off"
    detected = felt([Phase("impact", made_up.at(20), made_up.at(40), "jargon", detected=True)], end=made_up.at(60))
    assert "jargon" not in " ".join(detected)
    sign = Sign(made_up.at(21), "agents rewrote more drafts")
    (*_, said) = felt(made_up.PHASES[:3], end=made_up.at(60), sign=sign)
    assert said == (
        "The help desk felt it (agents rewrote more drafts) after 1 min; the first complaint came after 2 min; "
        "the team noticed after 4 min."
    ), "in order of time"
    early = felt([Phase("impact", made_up.at(20)), Phase("detected", made_up.at(18))], end=made_up.at(60))
    assert early[0].startswith("For 40 min,")
    assert early[-1] == "The team noticed 2 min before."


def test_counts_are_those_worse_than_usual() -> None:
    usual, worse, backup = (
        Count("a", 3, 10, 5.0),
        Count("b", 9, 10, 1.0),
        Count("Answers from the backup model", 9, 9, 0.0),
    )
    unknown = Count("c", None)
    assert counts([usual, backup, worse, unknown], most=4) == (worse, backup)
    assert counts([usual, unknown], most=4) == (usual,)
    assert counts([backup, worse], most=1) == (worse,)
    chance = Count("d", 26, 3000, 20.0)
    assert counts([chance, worse], most=4) == (worse,), "usual time may have 26 as well as 20"
    assert (usual.usual, backup.usual, unknown.usual) == (
        "usually about 5", "usually none", "these logs cannot tell",
    )  # fmt: skip
    tested = Count("e", 131, 3688, 97.3, is_worse=False)
    assert counts([tested, worse], most=4) == (worse,), "its own test decides"
    assert counts([replace(tested, is_worse=True)], most=4)[0].label == "e"
    harms = [replace(worse, label=label) for label in "xyz"]
    assert counts([backup, *harms], most=4) == tuple(harms), "the backup says nothing more beside three harms"
    assert (replace(worse, at_least=True).shown, worse.shown) == ("at least 9", "9")


def test_at_most_seven_numbers_stand_up_front() -> None:
    impact = [Count(f"thing {name}", 50 + i, 100, 1.0) for i, name in enumerate("abcdefgh")]
    gains = tuple(Gain(f"things {name}", -70.0, -40.0, 100, "better") for name in "abcde")
    found = made(impact=impact, proposal=replace(made_up.proposal(), gains=gains))
    told = [line for line in found.gains if re.search(r"\d", line)]
    assert len(told) + len(found.counts) == 7
    assert told[0] == "Between 40 and 70 fewer things a"
    assert not [line for line in found.gains if "things c" in line], "what has no room for its number is left out"
    harms = tuple(Gain(f"things {name}", 40.0, 70.0, 100, "worse") for name in "abcde")
    lines = made(impact=impact, proposal=replace(made_up.proposal(), gains=harms)).gains
    assert "Also more things c, things d and things e" in lines, "but no harm"


def test_look_ups_that_are_no_longer_made_are_said_so() -> None:
    gains = (Gain("failed look-ups", -90.0, -40.0, 100, "better"),)
    bare = Change("refund", "backup model", "mostly answered by the backup model without tools", "better")
    kept = replace(bare, would="keeps answering")
    told = [made(proposal=replace(made_up.proposal(), gains=gains, changes=(one,))).gains[0] for one in (bare, kept)]
    assert told[0] == "Between 40 and 90 fewer failed look-ups, some because they are no longer made"
    assert told[1] == "Between 40 and 90 fewer failed look-ups"


def test_what_was_in_force_and_what_the_rules_are_for_stand_before_the_numbers() -> None:
    why = replace(made_up.proposal("p"), reason="only what suffers moves.")
    assert made(proposal=why, in_force="one limit").rules == (
        "In force was one limit. Had the rules “p” been in force instead (only what suffers moves):"
    )
    assert made(proposal=replace(why, reason="")).rules == "Had the rules “p” been in force:"


def test_a_harm_is_the_last_to_be_left_out() -> None:
    changes = (
        Change("kind a", "keeps answering", "goes to a person", "better", ("waits",)),
        Change("kind b", "keeps answering", "is queued", "mixed", ("waits",), ("drafts",)),
        Change("kind c", "keeps answering", "stays", "same"),
    )
    proposal = replace(made_up.proposal(), changes=changes)
    told = [
        [kinds for _, kinds in made(proposal=proposal, owners=[Owner("word " * n)]).changes] for n in range(0, 60, 2)
    ] + [[kinds for _, kinds in made(proposal=proposal, owners=[Owner("word " * 50)] * k).changes] for k in range(1, 6)]
    assert all("kind b" in kinds for kinds in told if kinds)
    assert {len(kinds) for kinds in told} >= {0, 3}


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        (None, "These logs cannot tell the cost."),
        ((0.0, 0.0), "No extra cost."),
        ((-1.0, 2.0), "We cannot tell if it costs more."),
        ((-31.0, -22.4), "Between 22 and 31 USD less to pay"),
        ((0.25, 0.5), "Between 0.25 and 0.5 USD more to pay"),
    ],
)
def test_the_cost_is_between_or_cannot_be_told(cost: tuple[float, float] | None, said: str) -> None:
    assert said in made(proposal=replace(made_up.proposal(), cost=cost)).gains


@pytest.mark.slow
def test_the_longest_front_stays_under_350_words() -> None:
    """Every text as long as it may be, every list full, every sentence there."""
    word = "slowly answered question"
    changes = tuple(
        Change(f"{word} {i}", "backup model", fate, "mixed", ("waits over 3.5 s",), ("rewritten drafts",))
        for i, fate in enumerate(["keeps answering", "backup model", "goes to a person", "waits in a queue"] * 5)
    )
    gains = (
        Gain("waits over 3.5 s", -70.0, -41.0, 1409, "better"),
        Gain("requests without an answer", -12.0, 9.0, 1409, "cannot tell"),
        Gain("failed look-ups", -90.0, -40.0, 1409, "better"),
        Gain("rewritten drafts", 3.0, 9.0, 1409, "worse"),
    )
    proposal = Proposal(word * 3, gains, changes, (1.0, 2.0), 0.5, 1409, "why these rules " * 30)
    answers = {name: made_up.Answer(name, kind, "") for name, kind in (
        ("waits", "lower bound"), ("errors", "lower bound"), ("tools", "no"), ("overrides", "no"), ("tickets", "no"),
    )}  # fmt: skip
    phases = [replace(made_up.PHASES[0], text="answers were slow for most " * 9), *made_up.PHASES[1:]]
    front_of = made(
        phases=phases, proposal=proposal, answers=answers, impact=[Count("Drafts that agents rewrote", 9, 99, 1.0)] * 9,
        owners=[Owner("the gateway team", "merges the rules", "Friday")] * 2,
    )  # fmt: skip
    assert front_of.changes
    assert front_of.size + 70 <= 350, (
        "title, span, headings, banner and the sentence under the chart have fewer than seventy"
    )
    content = made_up.content(name="refund-policy", title="A title of nine words, none of them short, here")
    held = Reader(briefpage.page(content)).first
    assert len(" ".join(held).split()) - content.front.size < 70


def test_what_is_said_by_hand_becomes_a_decision_and_owners() -> None:
    assert decision_of("Adopt?") == Decision("Adopt?")
    assert decision_of("  ") is None
    assert decision_of(None) is None
    assert owners_of(["Ana", Owner("Bo", "tests it")]) == (Owner("Ana"), Owner("Bo", "tests it"))
    assert Owner("Bo", "tests it", "next week").said == "Bo: tests it, by next week"


def test_hostile_words_stay_words_in_every_form() -> None:
    name = " ".join(made_up.NASTY)
    content = made_up.content(name=name, pictures=(), decision=Decision(name, name, name), owners=[Owner(name, name)])
    page = briefpage.page(content)
    assert "<img src=x" not in page
    assert "\u202e" not in page
