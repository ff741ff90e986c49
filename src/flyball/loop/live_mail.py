"""Sends a message by SMTP. What the server says is sorted into what is tried again soon, and what a person has to mend."""

from __future__ import annotations

import smtplib
import ssl
from datetime import UTC, datetime
from email.utils import format_datetime

from flyball.clock import Instant
from flyball.declare.routes import Route
from flyball.incidents.channels.mail import mail
from flyball.incidents.retries import Answer, Outcome
from flyball.records.deliveries import Message


def send_mail(route: Route, message: Message, secret: str, now: Instant, timeout_s: float) -> Answer:
    """Send by SMTP, encrypted unless the route says `starttls = false`."""
    letter = mail(message, route)
    letter["Date"] = format_datetime(datetime.fromtimestamp(now // 1_000_000, UTC))
    try:
        with smtplib.SMTP(route.host, route.port, timeout=timeout_s) as server:
            if route.starttls:
                server.starttls(context=ssl.create_default_context())
            if route.user:
                server.login(route.user, secret)
            refused = server.send_message(letter, route.sender, route.to)
    except smtplib.SMTPRecipientsRefused as error:
        codes = {code for code, _ in error.recipients.values()}
        return Answer(outcome="later" if all(code < 500 for code in codes) else "barred", told=f"no address was taken: {_codes(codes)}")
    except (smtplib.SMTPAuthenticationError, smtplib.SMTPNotSupportedError, smtplib.SMTPSenderRefused) as error:
        code = getattr(error, "smtp_code", 500)
        return Answer(outcome="later" if 0 < code < 500 else "barred", told=f"it does not let flyball in: {_words(error)}")
    except smtplib.SMTPResponseException as error:
        # 4xx: not now; 5xx to the mail itself: never
        outcome: Outcome = "refused" if error.smtp_code >= 500 and isinstance(error, smtplib.SMTPDataError) else "later"
        return Answer(outcome=outcome, told=f"it answered {_words(error)}")
    except ssl.SSLError as error:
        return Answer(outcome="barred", told=f"the connection is not safe: {error.reason or type(error).__name__}")
    except TimeoutError:
        return Answer(outcome="later", told="it did not answer in time")
    except smtplib.SMTPException as error:
        return Answer(outcome="later", told=f"it ended the connection: {type(error).__name__}")
    # by their places: who is refused there is nothing for the record
    places = [f"{place} ({refused[address][0]})" for place, address in enumerate(route.to, 1) if address in refused]
    missed = f"not taken for address {', '.join(places)} of {len(route.to)}" if refused else ""
    return Answer(outcome="delivered", told=f"taken by {route.host}", missed=missed)


def _codes(codes: set[int]) -> str:
    return ", ".join(map(str, sorted(codes)))


def _words(error: Exception) -> str:
    code, said = getattr(error, "smtp_code", None), getattr(error, "smtp_error", b"")
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    return f"{code} {text}" if code is not None else str(error)
