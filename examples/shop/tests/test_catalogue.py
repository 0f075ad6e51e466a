import pytest

from shop import catalogue


def test_a_product_is_found_by_its_number():
    assert catalogue.find("POT-02").name == "Teapot"


def test_an_unknown_number_names_the_known_ones():
    with pytest.raises(catalogue.UnknownProduct, match="MUG-01"):
        catalogue.find("MUG-99")


@pytest.mark.parametrize(
    ("words", "skus"),
    [
        pytest.param("tea", ["TEA-07", "POT-02"], id="part of a word, cheapest first"),
        pytest.param("LAMP", ["LAMP-1"], id="any case"),
        pytest.param("tea black", ["TEA-07"], id="any order"),
        pytest.param("coffee", [], id="nothing"),
    ],
)
def test_search(words, skus):
    assert [product.sku for product in catalogue.search(words)] == skus
