"""An Airflow DAG that regenerates a corpus every night, on whatever runner its options name.

``HOME`` is where Airflow's workers have the checkout of Mixtape, with its virtual environment in ``venv``.
Airflow's variable ``mixtape_runner`` may name one of Beam's runners.
"""

from datetime import UTC, datetime, timedelta

from airflow.providers.apache.beam.operators.beam import BeamRunPythonPipelineOperator
from airflow.sdk import DAG

HOME = "/opt/mixtape"

with DAG(
    dag_id="mixtape_nightly",
    description="Regenerates a Mixtape corpus from what its sources are now",
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10)},
    tags=["mixtape"],
) as dag:
    BeamRunPythonPipelineOperator(
        task_id="build_librimix",
        py_file=f"{HOME}/deploy/dataflow/launch.py",
        py_interpreter=f"{HOME}/venv/bin/python",
        runner="{{ var.value.get('mixtape_runner', 'DirectRunner') }}",
        pipeline_options={
            "job": "build librimix",
            "librispeech": "/corpora/LibriSpeech",
            "wham": "/corpora/wham_noise",
            "out": "/corpora/librimix",
            "formats": "webdataset",
            "max_rejects": "1%",
            "prune": "true",
        },
    )
