"""Loads a folder of DAGs as Airflow does, and prints as JSON its errors and what its tasks would start.

Named too are arguments with a template in them that Airflow would take as they stand.

Run by the Python that Airflow is installed for: ``python check_airflow.py FOLDER``.
"""

import json
import sys
from typing import Any


def check(folder: str) -> dict[str, Any]:
    """Returns import errors, and of each DAG its settings and the words that each task starts."""
    from airflow.providers.apache.beam.hooks.beam import beam_options_to_args

    bag = dag_bag(folder)
    found: dict[str, Any] = {
        "errors": {str(path): text for path, text in bag.import_errors.items()},
        "dags": {},
    }
    for name, dag in bag.dags.items():
        tasks = {
            task.task_id: [task.py_interpreter, task.py_file, *beam_options_to_args(task.pipeline_options)]
            for task in dag.tasks
        }
        settings = {
            "catchup": dag.catchup,
            "max_active_runs": dag.max_active_runs,
            "never_rendered": [field for task in dag.tasks for field in never_rendered(task)],
        }
        found["dags"][name] = {"tasks": tasks, **settings}
    return found


def never_rendered(task: Any) -> list[str]:
    """Names the arguments of a task that hold a template, and that its operator does not render."""
    return [
        f"{task.task_id}.{name}"
        for name, value in vars(task).items()
        if isinstance(value, str) and "{{" in value and name not in task.template_fields
    ]


def dag_bag(folder: str) -> Any:
    """Loads a folder with Airflow's own loader."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(folder)


if __name__ == "__main__":
    print(json.dumps(check(sys.argv[1])))
