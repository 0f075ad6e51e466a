"""Every CI system is told by its own variables, and what they say is bounded and cleaned."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_recall import ci
from pytest_recall.model import Environment, Pipeline
from pytest_recall.store import shape

SHA = "9f3c" * 10

# As each provider's documentation gives them, for one job of one build.
JOBS = {
    "GitHub Actions": (
        {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKFLOW": "Tests",
            "GITHUB_JOB": "py311",
            "GITHUB_RUN_ID": "1658821493",
            "GITHUB_RUN_ATTEMPT": "2",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_REPOSITORY": "octo/shop",
            "GITHUB_HEAD_REF": "",
            "GITHUB_REF_NAME": "main",
            "GITHUB_SHA": SHA,
        },
        (
            "Tests/py311",
            "1658821493",
            "main",
            "https://github.com/octo/shop/actions/runs/1658821493/attempts/2",
        ),
    ),
    "GitLab CI": (
        {
            "CI": "true",
            "GITLAB_CI": "true",
            "CI_JOB_NAME": "pytest: [3.11]",
            "CI_PIPELINE_ID": "1000",
            "CI_COMMIT_REF_NAME": "main",
            "CI_JOB_URL": "https://gitlab.example.com/g/shop/-/jobs/50",
            "CI_COMMIT_SHA": SHA,
        },
        ("pytest: [3.11]", "1000", "main", "https://gitlab.example.com/g/shop/-/jobs/50"),
    ),
    "Jenkins": (
        {
            "JENKINS_URL": "https://jenkins.example.com/",
            "JOB_NAME": "shop/main",
            "STAGE_NAME": "Test",
            "BUILD_NUMBER": "153",
            "GIT_BRANCH": "origin/main",
            "BUILD_URL": "https://jenkins.example.com/job/shop/153/",
            "GIT_COMMIT": SHA,
        },
        ("shop/main/Test", "153", "main", "https://jenkins.example.com/job/shop/153/"),
    ),
    "CircleCI": (
        {
            "CI": "true",
            "CIRCLECI": "true",
            "CIRCLE_JOB": "test",
            "CIRCLE_WORKFLOW_ID": "w-1",
            "CIRCLE_BRANCH": "main",
            "CIRCLE_BUILD_URL": "https://circleci.com/gh/octo/shop/933",
            "CIRCLE_SHA1": SHA,
        },
        ("test", "w-1", "main", "https://circleci.com/gh/octo/shop/933"),
    ),
    "Azure Pipelines": (
        {
            "TF_BUILD": "True",
            "BUILD_DEFINITIONNAME": "shop",
            "SYSTEM_JOBNAME": "linux",
            "BUILD_BUILDID": "77",
            "BUILD_SOURCEBRANCH": "refs/heads/features/till",
            "SYSTEM_COLLECTIONURI": "https://dev.azure.com/octo/",
            "SYSTEM_TEAMPROJECT": "the shop",
            "BUILD_SOURCEVERSION": SHA,
        },
        (
            "shop/linux",
            "77",
            "features/till",
            "https://dev.azure.com/octo/the%20shop/_build/results?buildId=77",
        ),
    ),
    "Travis CI": (
        {
            "CI": "true",
            "TRAVIS": "true",
            "TRAVIS_JOB_NAME": "py311",
            "TRAVIS_BUILD_ID": "12",
            "TRAVIS_PULL_REQUEST_BRANCH": "",
            "TRAVIS_BRANCH": "main",
            "TRAVIS_JOB_WEB_URL": "https://app.travis-ci.com/octo/shop/jobs/13",
            "TRAVIS_COMMIT": SHA,
        },
        ("py311", "12", "main", "https://app.travis-ci.com/octo/shop/jobs/13"),
    ),
    "Buildkite": (
        {
            "CI": "true",
            "BUILDKITE": "true",
            "BUILDKITE_PIPELINE_SLUG": "shop",
            "BUILDKITE_LABEL": ":pytest:",
            "BUILDKITE_BUILD_NUMBER": "1514",
            "BUILDKITE_BRANCH": "main",
            "BUILDKITE_BUILD_URL": "https://buildkite.com/octo/shop/builds/1514",
            "BUILDKITE_JOB_ID": "e44f",
            "BUILDKITE_COMMIT": SHA,
        },
        ("shop/:pytest:", "1514", "main", "https://buildkite.com/octo/shop/builds/1514#e44f"),
    ),
    "TeamCity": (
        {
            "TEAMCITY_VERSION": "2026.1",
            "TEAMCITY_PROJECT_NAME": "Shop",
            "TEAMCITY_BUILDCONF_NAME": "Tests",
            "BUILD_NUMBER": "88",
            "BUILD_URL": "https://teamcity.example.com/build/9",
            "BUILD_VCS_NUMBER": SHA,
        },
        ("Shop/Tests", "88", "", "https://teamcity.example.com/build/9"),
    ),
    "Bitbucket Pipelines": (
        {
            "CI": "true",
            "BITBUCKET_BUILD_NUMBER": "5",
            "BITBUCKET_REPO_SLUG": "shop",
            "BITBUCKET_BRANCH": "main",
            "BITBUCKET_GIT_HTTP_ORIGIN": "https://bitbucket.org/octo/shop",
            "BITBUCKET_COMMIT": SHA,
        },
        ("shop", "5", "main", "https://bitbucket.org/octo/shop/pipelines/results/5"),
    ),
    "AppVeyor": (
        {
            "CI": "True",
            "APPVEYOR": "True",
            "APPVEYOR_JOB_NAME": "py311",
            "APPVEYOR_BUILD_ID": "3",
            "APPVEYOR_REPO_BRANCH": "main",
            "APPVEYOR_URL": "https://ci.appveyor.com",
            "APPVEYOR_ACCOUNT_NAME": "octo",
            "APPVEYOR_PROJECT_SLUG": "shop",
            "APPVEYOR_REPO_COMMIT": SHA,
        },
        ("py311", "3", "main", "https://ci.appveyor.com/project/octo/shop/builds/3"),
    ),
    "Drone": (
        {
            "CI": "true",
            "DRONE": "true",
            "DRONE_STAGE_NAME": "default",
            "DRONE_STEP_NAME": "test",
            "DRONE_BUILD_NUMBER": "4",
            "DRONE_BRANCH": "main",
            "DRONE_BUILD_LINK": "https://drone.example.com/octo/shop/4",
            "DRONE_COMMIT_SHA": SHA,
        },
        ("default/test", "4", "main", "https://drone.example.com/octo/shop/4"),
    ),
    "Semaphore": (
        {
            "CI": "true",
            "SEMAPHORE": "true",
            "SEMAPHORE_JOB_NAME": "test",
            "SEMAPHORE_WORKFLOW_ID": "w",
            "SEMAPHORE_GIT_BRANCH": "main",
            "SEMAPHORE_ORGANIZATION_URL": "https://octo.semaphoreci.com",
            "SEMAPHORE_JOB_ID": "j",
            "SEMAPHORE_GIT_SHA": SHA,
        },
        ("test", "w", "main", "https://octo.semaphoreci.com/jobs/j"),
    ),
    "Cirrus CI": (
        {
            "CI": "true",
            "CIRRUS_CI": "true",
            "CIRRUS_TASK_NAME": "test",
            "CIRRUS_BUILD_ID": "b",
            "CIRRUS_BRANCH": "main",
            "CIRRUS_TASK_ID": "t",
            "CIRRUS_CHANGE_IN_REPO": SHA,
        },
        ("test", "b", "main", "https://cirrus-ci.com/task/t"),
    ),
}


@pytest.mark.parametrize("provider", JOBS)
def test_each_provider_tells_job_run_branch_commit_and_link(provider):
    environ, (job, run, branch, link) = JOBS[provider]
    assert ci.recognise(environ) == Pipeline(
        provider=provider, job=job, run=run, branch=branch, commit=SHA, link=link
    )
    assert environ.keys() <= ci.NAMES | {"CI"}  # what a recorder keeps is enough


@pytest.mark.parametrize("name", ["Gitea Actions", "Forgejo Actions"])
def test_a_system_that_sets_githubs_variables_too_keeps_its_name(name):
    environ, _ = JOBS["GitHub Actions"]
    mark = name.upper().replace(" ", "_")
    found = ci.recognise({**environ, mark: "true", "GITHUB_RUN_NUMBER": "9"})
    assert (found.provider, found.link) == (name, "https://github.com/octo/shop/actions/runs/9")


@pytest.mark.parametrize("mark", ["CI", "CONTINUOUS_INTEGRATION", "BUILD_NUMBER"])
def test_unknown_system_is_ci_and_no_more_is_claimed(mark):
    assert ci.recognise({mark: "1"}) == Pipeline(provider="CI")


@pytest.mark.parametrize("environ", [{}, {"CI": ""}, {"CI": "false"}, {"CI": "0"}, {"GITHUB_SHA": SHA}])
def test_a_shell_of_ones_own_is_no_ci(environ):
    assert ci.recognise(environ) is None


def test_pull_request_is_on_its_own_branch_and_not_on_its_merge():
    environ, _ = JOBS["GitHub Actions"]
    assert ci.recognise({**environ, "GITHUB_HEAD_REF": "fix", "GITHUB_REF_NAME": "7/merge"}).branch == "fix"
    environ, _ = JOBS["Jenkins"]
    assert ci.recognise({**environ, "CHANGE_BRANCH": "fix"}).branch == "fix"


def test_what_anybody_may_have_named_cannot_leave_its_line_or_carry_a_secret():
    environ, _ = JOBS["GitLab CI"]
    found = ci.recognise(
        {
            **environ,
            "CI_COMMIT_REF_NAME": "a\n\x1b[31mb" + "c" * 10_000,
            "CI_COMMIT_SHA": "HEAD",
            "CI_JOB_URL": "https://bot:s3cr3t-t0ken@gitlab.example.com/1",
        }
    )
    assert found.branch == "a[31mb" + "c" * 194
    assert found.commit == ""
    assert "s3cr3t" not in found.link
    assert ci.recognise({**environ, "CI_JOB_URL": "javascript:alert(1)"}).link == ""


@given(st.dictionaries(st.sampled_from(sorted(ci.NAMES)), st.text(max_size=1_000)))
def test_any_values_give_a_bounded_job_or_none(environ):
    found = ci.recognise(environ)
    if found is not None:
        texts = (found.provider, found.job, found.run, found.branch, found.commit, found.link)
        assert all(text.isprintable() and len(text) <= 600 for text in texts)
        assert shape.load(Pipeline, shape.dump(found)) == found


def test_a_run_of_before_has_neither_job_nor_packages():
    old = {"os": "Linux", "python": "3.11.7"}
    assert shape.load(Environment, old).packages == ()
