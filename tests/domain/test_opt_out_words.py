# ruff: noqa: RUF001
"""Which texts and buttons opt out, in the languages of the people who get them; and which do not."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from broadcaster.config import Settings
from broadcaster.domain import opt_out_words
from broadcaster.domain.opt_out_words import OptOutWords, plain

WORDS = OptOutWords(Settings().stop_words)

TYPED = [
    # English, and the ways one word is written
    "STOP", "stop", "Stop", " stop ", "STOP.", "stop!!", "“Stop”", "S.T.O.P", "S.T.O.P.", "s t o p",
    "S-T-O-P!",
    "STOP 🛑", "🛑🛑 stop", "st\u200bop", "\u202astop\u202c", "\ufeffSTOP", "ｓｔｏｐ", "𝗦𝗧𝗢𝗣", "🅂🅃🄾🄿",
    "stop\n", "stop stop STOP",
    "*STOP*", "_stop_", "~Stop~", "stóp", "\u3164stop", "Unsubscribe", "UNSUBSCRIBE!", "opt-out", "Opt out",
    "OPTOUT",
    "Stop promotions", "stop  promotions.", "STOPALL", "Unsubscribe me", "No more messages!",
    # Turkish
    "İptal", "iptal", "IPTAL", "İPTAL!", "ıptal", "RET", "Durdur", "DUR", "Abonelikten çık",
    "ABONELİKTEN ÇIK",
    "abonelikten cik", "Mesaj istemiyorum", "Reklam istemiyorum.",
    # Spanish
    "Baja", "BAJA.", "¡Baja!", "Dar de baja", "darme de baja", "Quiero darme de baja",
    "Detener promociones",
    "No más mensajes", "no mas mensajes", "B.A.J.A",
    # Portuguese
    "Parar", "PARAR!", "Parar promoções", "parar promocoes", "Sair", "Descadastrar",
    "Não quero mais receber",
    "Sair da lista",
    # German
    "Stopp", "Abmelden", "Abbestellen!", "Keine Werbung mehr", "STOPP!",
    # French
    "Arrêter", "arreter", "ARRÊTER", "Désabonner", "désinscription", "Arrêter les promos", "Plus de pub",
    # Italian
    "Interrompi promozioni", "Disiscriviti", "disiscrivimi", "Niente promozioni",
    # Indonesian
    "Berhenti", "BERHENTI.", "Berhenti promosi", "Hentikan", "Jangan kirim pesan lagi",
    # Hindi
    "प्रमोशन बंद करें", "बंद करें", "बन्द करें", "बंद करो।", "रोकें", "स्टॉप", "अनसब्सक्राइब", "band karo",
    "संदेश न भेजें",
    # Arabic
    "إيقاف", "ايقاف", "إِيقاف", "إيـقـاف", "إيقاف العروض الترويجية", "ايقاف العروض", "إلغاء الاشتراك",
    "الغاء الاشتراك",
    "توقف", "أوقف",
    # Only a stop word and words of marketing
    "stop promos", "STOP ALL MESSAGES", "Stop sending ads", "Werbung stoppen", "Newsletter abbestellen",
    "Stop pub",
    "Promosyonları durdur", "Parar mensagens", "Interrompi le promozioni", "Berhenti langganan",
    "मैसेज बंद करो", "إيقاف الرسائل",
    # Russian
    "Стоп", "СТОП!", "Остановить рекламу", "Отписаться",
]  # fmt: skip

TAPPED = [
    "Unsubscribe from Promos", "Stop promotions", "Stop all messages", "Please stop", "STOP sending ads",
    "Opt out of offers",
    "No, unsubscribe me", "Stop marketing 🛑", "Cancel promotions", "Yes, stop",
    "Promosyonları durdur", "Kampanyaları durdur", "Promosyonları iptal et", "Abonelikten çık",
    "Bildirimleri kapat",
    "Hayır, mesajları durdur", "Listeden çıkar beni",
    "Detener promociones", "Darme de baja", "Dar de baja ya", "Parar mensajes", "Baja de promociones",
    "Cancelar suscripción",
    "Parar promoções", "Parar mensagens", "Cancelar inscrição", "Sair das promoções", "Cancelar promoções",
    "Werbung stoppen", "Newsletter abbestellen", "Aktionen stoppen", "Jetzt abmelden",
    "Arrêter les promotions", "Stop pub", "Me désabonner",
    "Interrompi promozioni", "Interrompi le promozioni", "Annulla iscrizione",
    "Berhenti berlangganan", "Hentikan promosi", "Stop promosi",
    "प्रमोशन बंद करें", "मैसेज बंद करें", "प्रमोशन रोकें",
    "إيقاف الرسائل", "إيقاف العروض الترويجية", "إلغاء الاشتراك", "Остановить рекламу",
]  # fmt: skip

NEVER = [
    "", " ", "🛑", "👍", "...", "!", "0", "No", "Hayır", "Não", "Nein", "لا", "Yes", "Start", "Cancel",
    "Cancelar", "İptal et",
    "End", "Quit", "Annulla", "Batal", "إلغاء", "रद्द करें",
    "Don't stop", "Don’t stop", "Don´t stop", "Do not stop", "Never stop", "Non-stop", "Can't stop",
    "Stop or continue?",
    "Bus stop", "Next stop", "Stop by", "Stop order", "Cancel appointment", "Cancel my booking", "Pit stop",
    "Stop card",
    "Siparişi iptal et", "Randevuyu iptal et", "Siparişi durdur", "Durdurma", "Durdurma, devam et",
    "İptal etme",
    "Rezervasyon iptal", "Kargoyu durdur", "İşlemi durdur",
    "Cancelar pedido", "No parar", "No dar de baja", "Cancelar cita", "Temporada baja", "Planta baja",
    "Detener el pedido",
    "Não parar", "Cancelar agendamento", "Parar entrega", "Sair para entrega",
    "Termin absagen", "Lieferung stoppen", "Nicht abmelden", "Bestellung stornieren", "Keine Änderung",
    "Ne pas arrêter", "Annuler la commande", "N'arrêtez pas", "Annuler rendez-vous", "Trop dur",
    "Plus de promotions",
    "Annulla ordine", "Non interrompi", "Annulla appuntamento",
    "Jangan berhenti", "Batalkan pesanan", "Hentikan pesanan",
    "ऑर्डर रद्द करें", "ऑर्डर बंद करें", "मत रोकें", "बंद",
    "إلغاء الطلب", "لا توقف", "إيقاف الطلب", "إلغاء الموعد", "Отменить заказ",
    "stopwatch", "stopover", "unstoppable", "desktop", "estoppel", "bajada", "pararrayos", "iptali",
    "preparar",
    "When does the next bus stop here, please tell me", "x" * 101,
]  # fmt: skip

SENTENCES = [
    "please stop", "Please stop by the shop", "stop at 5 pm?", "I can't stop laughing",
    "When do you stop selling it?",
    "Siparişimi iptal etmek istiyorum", "iptal edebilir miyim", "durdurabilir misiniz",
    "quiero parar mañana",
    "¿Cuándo baja el precio?", "dar de baja mi tarjeta", "Vou parar aí amanhã", "posso sair às 5?",
    "Kann ich mich abmelden?", "je vais arrêter demain", "kapan berhenti hujan", "When does promo stop",
    "stop worrying", "the offer stops", "Stop it",
    "Promosyonları durdurur musunuz acaba",
]  # fmt: skip


@pytest.mark.parametrize("text", TYPED)
def test_a_text_that_is_a_stop_word_and_nothing_else_opts_out(text: str) -> None:
    assert WORDS.is_stop(text)
    assert WORDS.is_stop(text, tapped=True)


@pytest.mark.parametrize("text", TAPPED)
def test_a_short_label_with_a_stop_word_opts_out(text: str) -> None:
    assert WORDS.is_stop(text, tapped=True)


@pytest.mark.parametrize("text", NEVER)
def test_what_means_something_else_does_not_opt_out(text: str) -> None:
    assert not WORDS.is_stop(text)
    assert not WORDS.is_stop(text, tapped=True)


@pytest.mark.parametrize("text", SENTENCES)
def test_a_typed_sentence_does_not_opt_out(text: str) -> None:
    assert not WORDS.is_stop(text)


def test_a_label_of_five_words_is_a_sentence() -> None:
    assert WORDS.is_stop("Stop sending me ads", tapped=True)
    assert not WORDS.is_stop("Stop sending me more ads", tapped=True)


def test_an_operator_adds_words_and_takes_none_away() -> None:
    words = OptOutWords(["Hasta la vista", "BASTA!", ""])
    assert words.is_stop("hasta la vista") and words.is_stop("Basta") and words.is_stop("stop")
    assert words.is_stop("Hasta la vista, amigos", tapped=True)
    assert not words.is_stop("") and not words.is_stop("hasta la vista amigos")
    assert not WORDS.is_stop("hasta la vista")
    assert opt_out_words.with_added(("x",)) is opt_out_words.with_added(("x",))


@pytest.mark.parametrize("word", Settings().stop_words)
def test_the_settings_default_is_among_our_own(word: str) -> None:
    assert OptOutWords().is_stop(word)


def reply(text: Any, kind: Any = "QUICK_REPLY") -> dict[str, Any]:
    return {"type": kind, "text": text}


def test_a_template_tells_which_of_its_buttons_opt_out() -> None:
    cards = [{"components": [{"type": "BUTTONS", "buttons": [reply("Werbung stoppen"), reply("Mehr")]}]}] * 2
    components = [
        {"type": "BODY", "text": "STOP"},
        {"type": "BUTTONS", "buttons": [reply("Stop promotions"), reply("STOP", "URL"), reply("Buy now")]},
        {"type": "CAROUSEL", "cards": cards},
        {"type": "buttons", "buttons": [reply("Unsubscribe from Promos", "quick_reply")]},
    ]
    assert WORDS.opt_out_buttons(components) == [
        "Stop promotions",
        "Werbung stoppen",
        "Unsubscribe from Promos",
    ]


KEYS = some.sampled_from(["type", "text", "buttons", "cards", "components"])
ODD = some.recursive(
    some.none() | some.booleans() | some.integers() | some.sampled_from(["QUICK_REPLY", "STOP"]),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(ODD)
@settings(deadline=None)
def test_odd_components_have_no_buttons_that_raise(components: Any) -> None:
    assert isinstance(WORDS.opt_out_buttons(components), list)


@given(some.text(some.characters(), max_size=120))
@settings(max_examples=500, deadline=None)
def test_comparing_is_stable_and_never_raises(text: str) -> None:
    assert plain(plain(text)) == plain(text)
    assert plain(text.upper().lower()) == plain(text.lower()) or not text.isascii()
    assert WORDS.is_stop(text) <= WORDS.is_stop(text, tapped=True)


@given(
    some.sampled_from(TYPED),
    some.text(some.sampled_from(" .,!?*_~\n\t\u200b\u200e\u2060\ufe0f🛑🙏—–"), max_size=6),
)
def test_what_surrounds_a_stop_word_changes_nothing(word: str, around: str) -> None:
    assert WORDS.is_stop(f"{around}{word}{around}")
