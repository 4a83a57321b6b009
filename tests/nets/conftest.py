import pytest


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    """Where a network is: tests that take it run once more where there is a GPU."""
    return request.param
