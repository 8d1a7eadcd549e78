# ruff: noqa: RUF001
"""Whether what a person wrote or tapped says: no more marketing.

Three kinds of words. A phrase counts where it is the whole text. A stop word counts also with nothing
but words of marketing beside it (stop all promos), and inside the label of a tapped button, if that is
short, denies nothing and speaks of no business. A weak word (cancel, iptal, baja) mostly speaks of an
order, so inside a label it counts only beside a word of marketing. A typed sentence never counts.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

LONGEST = 100
"""Characters; a longer text is a letter, not an opt-out."""
MOST_WORDS = 4
"""Words of a short text; one of more is a sentence."""


# Comparing


class _Folding(dict[int, str | None]):
    """What each character of a decomposed, casefolded text becomes; filled as characters come."""

    def __missing__(self, code: int) -> str | None:
        char = chr(code)
        category = unicodedata.category(char)
        folded: str | None = char
        if category in ("Cf", "Me") or (category == "Mn" and not _INDIC[0] <= code <= _INDIC[1]):
            folded = None
        elif category[0] in "PSZC":
            folded = " "
        self[code] = folded
        return folded


_INDIC = (0x0900, 0x0DFF)
"""From Devanagari to Sinhala, where marks are vowels."""
_APOSTROPHES = "'`´‘’‛ʹʼʻ′＇"
_FOLDING = _Folding({
    **dict.fromkeys(map(ord, _APOSTROPHES)),
    # Letters that are written either way: Turkish i, Arabic alef, ya, ta marbuta and kaf; and letters
    # that show nothing: tatweel, Hangul fillers.
    **{ord(one): other for one, other in ("ıi", "ٱا", "ىي", "یي", "ةه", "کك")},
    **dict.fromkeys(map(ord, "ـ\u115f\u1160")),
})  # fmt: skip


def plain(text: str) -> str:
    """The words of a text without case, marks, punctuation, symbols and invisible characters.

    Single letters in a row of three or more are one word (S.T.O.P), and a word that is only repeated
    is one (stop stop stop).
    """
    if "´" in text:
        # Compatibility forms would part it into a blank and a mark.
        text = text.replace("´", "")
    if not text.isascii():
        text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    words = text.casefold().translate(_FOLDING).split()
    if len(words) > 2 and all(len(word) == 1 for word in words):
        return "".join(words)
    return words[0] if len(set(words)) == 1 else " ".join(words)


# The words. All are compared as plain() writes them.

STOP_WORDS = """
stop, stopp, stopall, unsubscribe, optout, opt out
durdur, durdurun, abonelikten çık, listeden çık, listeden çıkar
parar, detener, dar de baja, darse de baja, darme de baja, desuscribir, desuscribirme, desuscribirse
interromper, descadastrar, descadastre, sair da lista, sair das promoções
stoppen, stoppe, abmelden, abbestellen, austragen
arrêter, arrêtez, désabonner, désabonnez, désinscrire, désinscrivez, désabonnement, désinscription
interrompi, interrompere, disiscrivi, disiscriviti, disiscrivimi, disiscrizione
berhenti, hentikan, henti
रोकें, रोको, रोक दें, बंद करें, बंद करो, बंद कर दो, बंद कर दें, बन्द करें, बन्द करो
स्टॉप, अनसब्सक्राइब, band karo, band karen
إيقاف, أوقف, أوقفوا, توقف, ستوب, إلغاء الاشتراك, إلغاء اشتراكي, ألغ الاشتراك
стоп, остановить, отписаться, отпишите
"""
"""They stop whatever stands beside them."""

PHRASES = """
Stop promotions, Detener promociones, Parar promoções, Interrompi promozioni, Berhenti promosi
Arrêter les promos, प्रमोशन बंद करें, إيقاف العروض الترويجية, إيقاف العروض, Остановить рекламу
remove me, unsubscribe me, leave me alone, stop all, stop now
no more messages, no more promotions, no more promos, no more offers, no more marketing, no more ads
iptal, ret, dur, beni listeden çıkar, abonelikten ayrıl, üyelikten çık
mesaj istemiyorum, reklam istemiyorum, kampanya istemiyorum, mesaj gönderme, mesaj atma
baja, quiero darme de baja, dame de baja, dadme de baja, no molestar
no más mensajes, no más promociones, no más promos, no más ofertas, no más publicidad
no quiero más mensajes, no quiero recibir más mensajes, no enviar más mensajes
sair, pare, remover da lista, me tire da lista, me remova da lista
parar de receber, não quero receber, não quero mais receber, não quero mais mensagens, chega de mensagens
keine Werbung, keine Werbung mehr, keine Nachrichten mehr, keine Angebote mehr, Abmeldung
se désabonner, me désabonner, se désinscrire, me désinscrire, plus de pub, pas de pub
cancellami, cancellatemi, rimuovimi, niente promozioni, niente pubblicità, basta promozioni, basta messaggi
unreg, jangan kirim pesan lagi, jangan kirim promosi lagi, tidak mau promosi, keluar dari daftar
मैसेज मत भेजो, संदेश न भेजें, संदेश मत भेजें, सदस्यता समाप्त करें
قف, لا ترسل رسائل, لا ترسلوا رسائل, لا أريد رسائل, لا أريد إعلانات, ألغوا الاشتراك
отписка, не присылайте рекламу, не пишите
"""
"""They stop where they are all that is said; the first two lines are Meta's own button, as it was seen.

Meta publishes no list of its forms. None was found for German and Turkish: there the words above
and the rule for short labels must do.
"""

WEAK_WORDS = """
cancel, end, quit, remove, iptal, iptali, bırak, vazgeç, kapat, baja, cancelar, anular, suspender
sair, pare, remover, annulla, cancella, basta, ferma, abbrechen, beenden, stornieren, annuler, supprimer
batal, batalkan, रद्द, बंद, إلغاء, وقف, отменить
"""
"""Inside a label they stop only beside a word of marketing."""

MARKETING = """
promo, offer, deals, advert, ads, marketing, newsletter, notif, message, subscri, updates, sms, campaign
reklam, kampanya, tanıtım, fırsat, bildirim, mesaj, ileti, abonelik, aboneliğ, bülten
oferta, publicidad, mensaje, suscri, boletín, mensage, inscri, assinatura, propaganda, anúncio
werbung, angebot, nachricht, benachrichtigung, abonn, aktion
offre, pub, abonnement, annonce, offert, messaggi, annunci, iscri
pesan, iklan, langgan, penawaran, प्रमोशन, मैसेज, संदेश, विज्ञापन, सदस्यता
العروض, الرسائل, رسائل, الإعلانات, الاشتراك, اشتراك, реклам, рассыл, подписк, акци
"""
"""The beginnings of words that speak of marketing."""

BUSINESS = """
order, purchase, appointment, booking, reserv, deliver, shipment, shipping, payment, invoice, refund, return
service, meeting, timer, alarm, course, class, training, event, account, card, smok
sipariş, randevu, rezervasyon, teslimat, kargo, ödeme, fatura, iade, işlem, servis, durak, hesap, kart, sigara
pedido, cita, reserva, entrega, envío, pago, factura, compra, turno, viaje, servicio, clase
cuenta, tarjeta, línea, fumar, agendamento, consulta, pagamento, viagem, serviço, horário, conta, cartão
termin, bestell, buchung, liefer, zahlung, rechnung, auftrag, reise, versand, kurs, konto, rauch
veranstaltung, commande, rendez, rdv, livraison, paiement, facture, achat, voyage, cours, compte, carte, fumer
ordin, appuntament, prenotazion, consegn, spedizion, fattura, acquist, viaggio, corso, conto, carta
pesanan, janji, pengiriman, pembayaran, tagihan, pembelian, merokok
ऑर्डर, आर्डर, अपॉइंटमेंट, बुकिंग, डिलीवरी, भुगतान, दुकान
طلب, الطلب, موعد, الموعد, حجز, الحجز, توصيل, التوصيل, دفع, الدفع, شحن, الشحن
заказ, запис, брон, достав, оплат
"""
"""The beginnings of words that speak of what a person bought, booked or waits for."""

FILLERS = """
all, any, the, my, your, of, from, to, me, sending
tüm, bütün, los, las, el, de, as, os, die, alle, les, la, le, tutte, semua, सभी, सब, كل, جميع, все, всю
"""
"""Words that add nothing to a stop word and a word of marketing."""

CONTRARY = """
dont, not, never, cant, cannot, wont, non, no, without, keep, undo, start, or, continue
etme, etmeyin, etmiyorum, değil, istemiyorum, durma, durdurma, durdurmayın, devam, veya
nunca, jamás, sin, não, sem, ou, continuar
nicht, kein, keine, keinen, nie, niemals, ohne, oder, weiter
ne, pas, jamais, sans, continuer
mai, senza, oppure
jangan, jgn, tidak, tak, bukan, lanjut, atau
न, मत, नहीं, mat, nahi
لا, لم, لن, عدم, بدون, ليس
не, или
by, over, bus, next, last, pit, sign, loss, watch, motion, ride, trip, train
"""
"""Words that turn a stop word into its contrary, or into another stop (bus stop, stop by)."""

_ANSWER = re.compile(r"\s*(?:no|nein|non|não|nao|hayır|tidak|нет|لا|नहीं)\s*[,،.;:!–—-]+\s", re.I)
"""An answer before what is meant: "No, unsubscribe" denies nothing."""


def _listed(words: str) -> list[str]:
    return [part for line in words.strip().splitlines() for part in line.split(", ")]


def _plains(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word for word in map(plain, words) if word)


_STOPS = _plains(_listed(STOP_WORDS))
_WEAK = _plains(_listed(WEAK_WORDS))
_WHOLE = _STOPS | _plains(_listed(PHRASES))
_FILLERS = _plains(_listed(FILLERS))
_CONTRARY = _plains(_listed(CONTRARY))
_OF_MARKETING = tuple(_plains(_listed(MARKETING)))
_OF_BUSINESS = tuple(_plains(_listed(BUSINESS)))


class OptOutWords:
    """The words that opt out: ours, and those an operator adds."""

    def __init__(self, added: Iterable[str] = ()) -> None:
        own = _plains(added)
        self._whole = _WHOLE | own
        self._stops = _STOPS | (own - _WEAK)
        self._first_words = frozenset(stop.split()[0] for stop in self._stops)

    def is_stop(self, text: str, tapped: bool = False) -> bool:
        """Whether the text opts out; `tapped` if the person saw it as the label of a button."""
        if len(text) > LONGEST:
            return False
        said = plain(text)
        if said in self._whole:
            return True
        return self._is_short_stop(text) if tapped else self._is_bare_stop(said.split())

    def opt_out_buttons(self, components: Any) -> list[str]:
        """The labels of a template's quick replies, also on its cards, that opt out when tapped."""
        labels = [text for text in _quick_replies(components) if self.is_stop(text, tapped=True)]
        return list(dict.fromkeys(labels))

    def _is_bare_stop(self, words: list[str]) -> bool:
        """Whether these are a stop word, words of marketing, and nothing that says more."""
        if not 2 <= len(words) <= MOST_WORDS or self._first_words.isdisjoint(words):
            return False
        rests = [rest for run, rest in _runs(words) if run in self._stops]
        return any(
            any(map(_is_of_marketing, rest))
            and all(word in _FILLERS or _is_of_marketing(word) for word in rest)
            for rest in rests
        )

    def _is_short_stop(self, text: str) -> bool:
        """Whether this label stops, denies nothing and speaks of no business."""
        answer = _ANSWER.match(text)
        words = plain(text[answer.end() :] if answer else text).split()
        if not 1 <= len(words) <= MOST_WORDS:
            return False
        runs = {run for run, _ in _runs(words)}
        if not _CONTRARY.isdisjoint(runs) or any(word.startswith(_OF_BUSINESS) for word in words):
            return False
        is_of_marketing = any(map(_is_of_marketing, words))
        return not self._stops.isdisjoint(runs) or (is_of_marketing and not _WEAK.isdisjoint(runs))


@lru_cache(maxsize=16)
def with_added(added: tuple[str, ...]) -> OptOutWords:
    """The words that opt out, with these of the operator's; built once for each setting."""
    return OptOutWords(added)


def _runs(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Every run of neighbouring words, single words among them, each with the words around it."""
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            yield " ".join(words[start:end]), words[:start] + words[end:]


def _is_of_marketing(word: str) -> bool:
    # Orders may begin like messages: Indonesian pesanan and pesan.
    return word.startswith(_OF_MARKETING) and not word.startswith(_OF_BUSINESS)


def _quick_replies(components: Any) -> Iterator[str]:
    for component in _objects(components):
        for button in _objects(component.get("buttons")):
            text = button.get("text")
            if str(button.get("type")).upper() == "QUICK_REPLY" and isinstance(text, str):
                yield text
        for card in _objects(component.get("cards")):
            yield from _quick_replies(card.get("components"))


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
