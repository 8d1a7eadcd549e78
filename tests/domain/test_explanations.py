from broadcaster.domain import explanations, verdicts


def test_every_code_has_a_meaning_and_an_advice() -> None:
    for code in (*verdicts.REACTIONS, *verdicts.KNOWN_FAILURES, 999_999):
        known = explanations.explain(str(code))
        assert known.meaning and known.advice
    for code in ("OUTCOME_UNKNOWN", "SUPPRESSED", "INVALID_RECIPIENT", "UNDELIVERED"):
        assert "not in our table" not in explanations.explain(code).meaning
