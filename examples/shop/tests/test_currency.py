import pytest

from shop import currency


def test_euros_become_dollars(rates):
    assert currency.convert(1000, "USD", rates) > 1000


def test_euros_become_pounds(rates):
    assert currency.convert(1000, "GBP", rates) < 1000


def test_a_currency_without_a_rate_is_refused(rates):
    with pytest.raises(KeyError):
        currency.convert(1000, "XXX", rates)


def test_rates_are_read_from_the_environment(monkeypatch):
    monkeypatch.setenv("SHOP_RATES", "USD=1.08,GBP=0.86")
    assert currency.rates() == {"USD": 1.08, "GBP": 0.86}
