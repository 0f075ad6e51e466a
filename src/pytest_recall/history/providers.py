"""Who provides what: the distribution of a module, the plugin of a fixture or a setting.

Lists of well-known names, and bounded: a name that is not in them is never guessed, since an agent may install
whatever it is told, and a name that nobody has checked may be somebody's trap.
"""

from __future__ import annotations

import re

_MODULES = """
    yaml=PyYAML cv2=opencv-python PIL=Pillow sklearn=scikit-learn skimage=scikit-image bs4=beautifulsoup4
    dateutil=python-dateutil dotenv=python-dotenv jwt=PyJWT Crypto=pycryptodome OpenSSL=pyOpenSSL attr=attrs
    MySQLdb=mysqlclient psycopg2=psycopg2-binary git=GitPython serial=pyserial usb=pyusb zmq=pyzmq magic=python-magic
    docx=python-docx pptx=python-pptx fitz=PyMuPDF gi=PyGObject pkg_resources=setuptools google.protobuf=protobuf
    google.auth=google-auth google.cloud.storage=google-cloud-storage googleapiclient=google-api-python-client
    azure.storage.blob=azure-storage-blob azure.identity=azure-identity ruamel.yaml=ruamel.yaml
    zope.interface=zope.interface backports.zoneinfo=backports.zoneinfo rest_framework=djangorestframework
    corsheaders=django-cors-headers environ=django-environ flask_sqlalchemy=Flask-SQLAlchemy flask_login=Flask-Login
    flask_cors=Flask-Cors jose=python-jose multipart=python-multipart slugify=python-slugify markdown=Markdown
    nacl=PyNaCl ldap=python-ldap Xlib=python-xlib win32api=pywin32 win32con=pywin32 pythoncom=pywin32 faiss=faiss-cpu
    sentence_transformers=sentence-transformers prometheus_client=prometheus-client
    typing_extensions=typing-extensions importlib_metadata=importlib-metadata importlib_resources=importlib-resources
    async_timeout=async-timeout graphql=graphql-core socks=PySocks telegram=python-telegram-bot kafka=kafka-python
    mpl_toolkits=matplotlib pylab=matplotlib umap=umap-learn Bio=biopython igraph=python-igraph
    pytest_asyncio=pytest-asyncio pytest_mock=pytest-mock pytest_cov=pytest-cov xdist=pytest-xdist
    pytest_django=pytest-django pytest_httpx=pytest-httpx pytest_benchmark=pytest-benchmark inline_snapshot=inline-snapshot
    dirty_equals=dirty-equals testcontainers=testcontainers time_machine=time-machine requests_mock=requests-mock
    email_validator=email-validator pydantic_settings=pydantic-settings jinja2=Jinja2 werkzeug=Werkzeug flask=Flask
    django=Django sqlalchemy=SQLAlchemy markupsafe=MarkupSafe pygments=Pygments babel=Babel sphinx=Sphinx
"""
_SAME_NAME = """
    aiofiles aiohttp alembic anyio arrow asyncpg black boto3 botocore brotli cachetools certifi cffi chardet
    charset_normalizer click colorama coverage cryptography cython dask docutils duckdb factory_boy faker fastapi
    filelock freezegun fsspec gevent greenlet gunicorn h5py hatchling httpcore httpx hypothesis idna isort joblib
    jsonschema lxml loguru matplotlib mock moto msgpack mypy networkx nox numba numpy openpyxl orjson packaging pandas
    paramiko pendulum pexpect platformdirs playwright pluggy polars psutil psycopg pyarrow pydantic pymongo pymysql
    pyparsing pytest pytz redis regex requests respx responses rich ruff scipy seaborn selenium setuptools simplejson
    six sqlmodel starlette statsmodels structlog sympy syrupy tabulate tenacity tensorflow toml tomli tomlkit torch
    tornado tox tqdm transformers trio trustme typeguard typer tzdata tzlocal ujson urllib3 uvicorn uvloop vcrpy
    virtualenv watchdog websockets wheel wrapt xarray xmltodict yarl zstandard
"""
_FIXTURES = """
    mocker=pytest-mock
    benchmark=pytest-benchmark httpx_mock=pytest-httpx httpserver=pytest-httpserver requests_mock=requests-mock
    respx_mock=respx snapshot=syrupy faker=Faker freezer=pytest-freezer time_machine=time-machine
    aiohttp_client=pytest-aiohttp aioresponses=aioresponses data_regression=pytest-regressions
    file_regression=pytest-regressions num_regression=pytest-regressions datadir=pytest-datadir
    shared_datadir=pytest-datadir qtbot=pytest-qt db=pytest-django transactional_db=pytest-django rf=pytest-django
    admin_client=pytest-django settings=pytest-django django_user_model=pytest-django
    django_assert_num_queries=pytest-django page=pytest-playwright browser=pytest-playwright
    subtests=pytest-subtests postgresql=pytest-postgresql redisdb=pytest-redis vcr=pytest-recording
    event_loop=pytest-asyncio unused_tcp_port=pytest-asyncio worker_id=pytest-xdist testrun_uid=pytest-xdist
    fs=pyfakefs check=pytest-check mpl_image_compare=pytest-mpl
    celery_app=celery celery_worker=celery fake_process=pytest-subprocess fp=pytest-subprocess socket_disabled=pytest-socket
    socket_enabled=pytest-socket
"""
_SETTINGS = """
    asyncio_mode=pytest-asyncio asyncio_default_fixture_loop_scope=pytest-asyncio timeout=pytest-timeout
    timeout_method=pytest-timeout DJANGO_SETTINGS_MODULE=pytest-django django_find_project=pytest-django
    env=pytest-env env_files=pytest-dotenv mock_use_standalone_module=pytest-mock
    qt_api=pytest-qt render_collapsed=pytest-html
"""
# Modules of the standard library, and the Python that no longer has them.
_REMOVED = """
    asynchat=3.12 asyncore=3.12 distutils=3.12 imp=3.12 smtpd=3.12 aifc=3.13 audioop=3.13 cgi=3.13 cgitb=3.13
    chunk=3.13 crypt=3.13 imghdr=3.13 lib2to3=3.13 mailcap=3.13 msilib=3.13 nis=3.13 nntplib=3.13 ossaudiodev=3.13
    pipes=3.13 sndhdr=3.13 spwd=3.13 sunau=3.13 telnetlib=3.13 uu=3.13 xdrlib=3.13 binhex=3.11 formatter=3.10
    parser=3.10 symbol=3.10 macpath=3.8
"""


def _read(text: str) -> dict[str, str]:
    return {name: other for word in text.split() for name, _, other in [word.rpartition("=")]}


_BY_MODULE = _read(_MODULES) | {name: name.replace("_", "-") for name in _SAME_NAME.split()}
_BY_FIXTURE, _BY_SETTING, _GONE = map(_read, (_FIXTURES, _SETTINGS, _REMOVED))


def plain(distribution: str) -> str:
    """The name of a distribution as installers compare it: `Ruamel.YAML` is `ruamel-yaml`."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def of_module(module: str) -> str:
    """The distribution of *module* (dotted), by the longest part of its name that is known; "" where none is."""
    parts = module.split(".")
    names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((found for name in names if (found := _BY_MODULE.get(name))), "")


def of_fixture(name: str) -> str:
    """The plugin that brings the fixture, where it is a well-known one."""
    return _BY_FIXTURE.get(name, "")


def of_setting(name: str) -> str:
    """The plugin that knows the setting *name* of a pytest configuration."""
    return _BY_SETTING.get(name, "")


def removed(module: str) -> str:
    """The Python from which on the standard library has no such module; "" where it still has, or never had."""
    return _GONE.get(module.partition(".")[0], "")
