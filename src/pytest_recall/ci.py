"""Which CI job an environment belongs to, told from the variables that CI systems set: one table, no lookup elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pytest_recall.model import Pipeline
from pytest_recall.redact import redact

_MOST = 200  # characters of a value
_MOST_LINK = 500
_NO = frozenset({"", "0", "false", "no", "off"})
_NAME = re.compile(r"\{(\w+)\}")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LINK = re.compile(r"https?://[!-~]+")
_REF = re.compile(r"(?:refs/heads/|refs/tags/|origin/)")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Provider:
    """A CI system: the variable that says that this is it, and templates, of which the first whole one counts."""

    name: str
    mark: str
    job: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    branch: tuple[str, ...] = ()  # of a pull request its own, not that of the merge
    commit: tuple[str, ...] = ()
    link: tuple[str, ...] = ()


_ACTIONS_JOB = ("{GITHUB_WORKFLOW}/{GITHUB_JOB}", "{GITHUB_JOB}")
_ACTIONS_BRANCH = ("{GITHUB_HEAD_REF}", "{GITHUB_REF_NAME}")
_ACTIONS_RUNS = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/"

# In order: a system that sets another one's variables too comes before it.
_PROVIDERS: Final = (
    *(
        _Provider(
            name=name,
            mark=mark,
            job=_ACTIONS_JOB,
            run=("{GITHUB_RUN_NUMBER}",),
            branch=_ACTIONS_BRANCH,
            commit=("{GITHUB_SHA}",),
            link=(_ACTIONS_RUNS + "{GITHUB_RUN_NUMBER}",),
        )
        for name, mark in (("Forgejo Actions", "FORGEJO_ACTIONS"), ("Gitea Actions", "GITEA_ACTIONS"))
    ),
    _Provider(
        name="GitHub Actions",
        mark="GITHUB_ACTIONS",
        job=_ACTIONS_JOB,
        run=("{GITHUB_RUN_ID}",),
        branch=_ACTIONS_BRANCH,
        commit=("{GITHUB_SHA}",),
        link=(
            _ACTIONS_RUNS + "{GITHUB_RUN_ID}/attempts/{GITHUB_RUN_ATTEMPT}",
            _ACTIONS_RUNS + "{GITHUB_RUN_ID}",
        ),
    ),
    _Provider(
        name="GitLab CI",
        mark="GITLAB_CI",
        job=("{CI_JOB_NAME}",),
        run=("{CI_PIPELINE_ID}",),
        branch=("{CI_MERGE_REQUEST_SOURCE_BRANCH_NAME}", "{CI_COMMIT_REF_NAME}"),
        commit=("{CI_COMMIT_SHA}",),
        link=("{CI_JOB_URL}", "{CI_PIPELINE_URL}"),
    ),
    _Provider(
        name="CircleCI",
        mark="CIRCLECI",
        job=("{CIRCLE_JOB}",),
        run=("{CIRCLE_WORKFLOW_ID}", "{CIRCLE_BUILD_NUM}"),
        branch=("{CIRCLE_BRANCH}", "{CIRCLE_TAG}"),
        commit=("{CIRCLE_SHA1}",),
        link=("{CIRCLE_BUILD_URL}",),
    ),
    _Provider(
        name="Azure Pipelines",
        mark="TF_BUILD",
        job=("{BUILD_DEFINITIONNAME}/{SYSTEM_JOBNAME}", "{SYSTEM_JOBNAME}", "{AGENT_JOBNAME}"),
        run=("{BUILD_BUILDID}",),
        branch=("{SYSTEM_PULLREQUEST_SOURCEBRANCH}", "{BUILD_SOURCEBRANCH}", "{BUILD_SOURCEBRANCHNAME}"),
        commit=("{BUILD_SOURCEVERSION}",),
        link=("{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",),
    ),
    _Provider(
        name="Travis CI",
        mark="TRAVIS",
        job=("{TRAVIS_JOB_NAME}",),
        run=("{TRAVIS_BUILD_ID}",),
        branch=("{TRAVIS_PULL_REQUEST_BRANCH}", "{TRAVIS_BRANCH}"),
        commit=("{TRAVIS_COMMIT}",),
        link=("{TRAVIS_JOB_WEB_URL}", "{TRAVIS_BUILD_WEB_URL}"),
    ),
    _Provider(
        name="Buildkite",
        mark="BUILDKITE",
        job=("{BUILDKITE_PIPELINE_SLUG}/{BUILDKITE_LABEL}", "{BUILDKITE_PIPELINE_SLUG}"),
        run=("{BUILDKITE_BUILD_NUMBER}",),
        branch=("{BUILDKITE_BRANCH}",),
        commit=("{BUILDKITE_COMMIT}",),
        link=("{BUILDKITE_BUILD_URL}#{BUILDKITE_JOB_ID}", "{BUILDKITE_BUILD_URL}"),
    ),
    _Provider(
        name="TeamCity",
        mark="TEAMCITY_VERSION",
        job=("{TEAMCITY_PROJECT_NAME}/{TEAMCITY_BUILDCONF_NAME}", "{TEAMCITY_BUILDCONF_NAME}"),
        run=("{BUILD_NUMBER}",),
        branch=("{TEAMCITY_BUILD_BRANCH}",),
        commit=("{BUILD_VCS_NUMBER}",),
        link=("{BUILD_URL}",),
    ),
    _Provider(
        name="Bitbucket Pipelines",
        mark="BITBUCKET_BUILD_NUMBER",
        job=("{BITBUCKET_REPO_SLUG}",),
        run=("{BITBUCKET_BUILD_NUMBER}",),
        branch=("{BITBUCKET_BRANCH}", "{BITBUCKET_TAG}"),
        commit=("{BITBUCKET_COMMIT}",),
        link=("{BITBUCKET_GIT_HTTP_ORIGIN}/pipelines/results/{BITBUCKET_BUILD_NUMBER}",),
    ),
    _Provider(
        name="AppVeyor",
        mark="APPVEYOR",
        job=("{APPVEYOR_JOB_NAME}",),
        run=("{APPVEYOR_BUILD_ID}",),
        branch=("{APPVEYOR_PULL_REQUEST_HEAD_REPO_BRANCH}", "{APPVEYOR_REPO_BRANCH}"),
        commit=("{APPVEYOR_REPO_COMMIT}",),
        link=(
            "{APPVEYOR_URL}/project/{APPVEYOR_ACCOUNT_NAME}/{APPVEYOR_PROJECT_SLUG}/builds/{APPVEYOR_BUILD_ID}",
        ),
    ),
    _Provider(
        name="Drone",
        mark="DRONE",
        job=("{DRONE_STAGE_NAME}/{DRONE_STEP_NAME}", "{DRONE_STEP_NAME}"),
        run=("{DRONE_BUILD_NUMBER}",),
        branch=("{DRONE_SOURCE_BRANCH}", "{DRONE_BRANCH}"),
        commit=("{DRONE_COMMIT_SHA}",),
        link=("{DRONE_BUILD_LINK}",),
    ),
    _Provider(
        name="Semaphore",
        mark="SEMAPHORE",
        job=("{SEMAPHORE_JOB_NAME}",),
        run=("{SEMAPHORE_WORKFLOW_ID}",),
        branch=("{SEMAPHORE_GIT_WORKING_BRANCH}", "{SEMAPHORE_GIT_BRANCH}"),
        commit=("{SEMAPHORE_GIT_SHA}",),
        link=("{SEMAPHORE_ORGANIZATION_URL}/jobs/{SEMAPHORE_JOB_ID}",),
    ),
    _Provider(
        name="Cirrus CI",
        mark="CIRRUS_CI",
        job=("{CIRRUS_TASK_NAME}",),
        run=("{CIRRUS_BUILD_ID}",),
        branch=("{CIRRUS_BRANCH}",),
        commit=("{CIRRUS_CHANGE_IN_REPO}",),
        link=("https://cirrus-ci.com/task/{CIRRUS_TASK_ID}",),
    ),
    _Provider(  # last of those with a name: servers and agents of others set its variables for convenience
        name="Jenkins",
        mark="JENKINS_URL",
        job=("{JOB_NAME}/{STAGE_NAME}", "{JOB_NAME}"),
        run=("{BUILD_NUMBER}",),
        branch=("{CHANGE_BRANCH}", "{BRANCH_NAME}", "{GIT_BRANCH}"),
        commit=("{GIT_COMMIT}",),
        link=("{BUILD_URL}",),
    ),
    *(_Provider(name="CI", mark=mark) for mark in ("CI", "CONTINUOUS_INTEGRATION", "BUILD_NUMBER")),
)


def _templates(provider: _Provider) -> Iterable[str]:
    for group in (provider.job, provider.run, provider.branch, provider.commit, provider.link):
        yield from group


# Every variable that is looked at: whoever records an environment for `recognise` needs no other.
NAMES: Final = frozenset(
    name
    for provider in _PROVIDERS
    for name in (provider.mark, *(found for text in _templates(provider) for found in _NAME.findall(text)))
)


def recognise(environ: Mapping[str, str]) -> Pipeline | None:
    """The CI job that *environ*, the variables of a process, belongs to; None outside CI.

    What it tells is bounded and cleaned: in a pull request anybody may have named the branch.
    """
    provider = next((one for one in _PROVIDERS if environ.get(one.mark, "").strip().lower() not in _NO), None)
    if provider is None:
        return None
    told = {name: _plain(environ.get(name, "")) for name in NAMES}
    commit, link = _first(provider.commit, told).lower(), _first(provider.link, told).replace(" ", "%20")
    return Pipeline(
        provider=provider.name,
        job=_first(provider.job, told)[:_MOST],
        run=_first(provider.run, told)[:_MOST],
        branch=_REF.sub("", _first(provider.branch, told), count=1)[:_MOST],
        commit=commit if _COMMIT.fullmatch(commit) else "",
        link=redact(link) if len(link) <= _MOST_LINK and _LINK.fullmatch(link) else "",
    )


def _first(templates: Iterable[str], told: Mapping[str, str]) -> str:
    """The first of *templates* whose variables are all set, filled in."""
    whole = (text for text in templates if all(told[name] for name in _NAME.findall(text)))
    return next((_NAME.sub(lambda found: told[found[1]], text) for text in whole), "")


def _plain(text: str) -> str:
    """*text* in one line of printable characters."""
    return "".join(letter for letter in text[: 2 * _MOST_LINK] if letter.isprintable()).strip()
