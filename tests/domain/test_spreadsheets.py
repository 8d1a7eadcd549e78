import pytest

from broadcaster.domain import spreadsheets

NUMBER = "+905554443301"


@pytest.mark.parametrize(
    "name",
    [
        *("to", "To", "WhatsApp", "WhatsApp number", "Mobile", "Cell", "cell_phone", "phoneNumber"),
        *("Telephone", "tel", "Phone No.", "Number"),
        *("MSISDN", "Cep Telefonu", "GSM No", "Telefon Numaras\u0131", "Numara"),
        *("Celular", "Telefone (WhatsApp)"),
        *("N\u00ba de celular", "M\u00f3vil", "Tel\u00e9fono", "N\u00famero"),
        *("Handynummer", "Rufnummer", "Mobiltelefon", "T\u00e9l\u00e9phone portable", "Num\u00e9ro"),
        *("Cellulare", "Numero di telefono", "No. HP", "Nomor WhatsApp", "Telepon", "Mobiel", "Telefoon"),
        *("\u092e\u094b\u092c\u093e\u0907\u0932 \u0928\u0902\u092c\u0930", "\u092b\u093c\u094b\u0928"),
        *("\u0631\u0642\u0645 \u0627\u0644\u0647\u0627\u062a\u0641", "\u062c\u0648\u0627\u0644"),
        *("\u0422\u0435\u043b\u0435\u0444\u043e\u043d", "\u041d\u043e\u043c\u0435\u0440"),
        *("\u624b\u673a\u53f7\u7801", "\u8054\u7cfb\u7535\u8bdd", "\u96fb\u8a71\u756a\u53f7"),
    ],
)
def test_a_column_is_known_by_its_name_in_many_languages(name: str) -> None:
    rows = [["5551234", NUMBER, "+905554443302"], ["x", NUMBER, "+905554443302"]]
    assert spreadsheets.number_column(["Order number", "Contact 2", name], rows) == 2


@pytest.mark.parametrize(
    ("header", "rows", "column"),
    [
        (["Birthday", "1", "Cell"], [["15.06.2025", "Ana", "905554443301"]], 2),
        (["Number", "Name", "Who"], [["15.06.2025", "Ana", NUMBER]], 2),
        (["Phone", "Contact"], [["iPhone 15", NUMBER], ["Galaxy S24", NUMBER]], 1),
        (["Mobile", "Contact"], [["yes", NUMBER], ["no", NUMBER]], 1),
        (["Number", "Mobile"], [["905554443302", NUMBER]], 1),
        (["Phone", "WhatsApp"], [[NUMBER, NUMBER]], 1),
        (["Phone 1", "Phone 2"], [[NUMBER, NUMBER]], 0),
        (["Phone", "Mobile"], [[NUMBER, ""], [NUMBER, " "]], 0),
        (["A", "B"], [["Ana", NUMBER], ["Bo", ""], ["Cem", "TR.2222"]], 1),
        (["A", "B"], [["Ana", NUMBER], ["Bo", NUMBER], ["Cem", "none"]], 1),
        (["A", "B"], [["Ana", NUMBER], ["Bo", "-"], ["Cem", "none"]], None),
        (["A", "B"], [[NUMBER, NUMBER]], None),
        (["Name", "City"], [["Ana", "Izmir"]], None),
        (["Phone", "Name"], [["919876543210.0", "Ana"]], 0),
        (["Phone", "Name"], [["9.05554E+11", "Ana"], ["9,05554E+11", "Bo"]], 0),
        (["Phone", "1"], [["1", "2"]], None),
        (["Phone", "Name"], [], None),
        ([], [], None),
        (["+905554443300", "Ana"], [[NUMBER, "Bo"]], None),
        (["Phone", "Name"], [["+905554443301"], [NUMBER, "Bo", "more"]], 0),
    ],
)
def test_a_column_is_chosen_by_name_and_by_content(
    header: list[str], rows: list[list[str]], column: int | None
) -> None:
    assert spreadsheets.number_column(header, rows) == column


def test_a_default_country_makes_numbers_of_national_ones() -> None:
    rows = [["Ana", "0555 444 33 01"], ["Bo", "5554443302"]]
    assert spreadsheets.number_column(["A", "B"], rows, "TR") == 1
    assert spreadsheets.number_column(["A", "B"], rows) is None


def test_only_the_first_rows_are_looked_at() -> None:
    rows = ([NUMBER, "Ana"] for _ in iter(int, 1))
    assert spreadsheets.number_column(["A", "B"], rows) == 0
