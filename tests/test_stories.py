"""What three new users do, with the code of the documentation alone."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from page_code import STORIES, read_story

GUIDE = Path(__file__).parent.parent / "docs" / "user_guide"


def test_each_story_runs_in_a_fresh_process(tmp_path, monkeypatch):
    """The server of new processes has only imported what all stories need."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the suite uses the other cores
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["page_code", "skdigits.model_selection"])
    complaints = {}
    for story, pages in STORIES.items():
        folder = tmp_path / story
        folder.mkdir()
        with ProcessPoolExecutor(1, mp_context=context) as process:
            paths = [GUIDE / page for page in pages if (GUIDE / page).exists()]
            complaints[story] = process.submit(read_story, paths, folder).result()
    assert complaints == {story: [] for story in STORIES}
