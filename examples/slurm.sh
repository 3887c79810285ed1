#!/usr/bin/env bash
# A sweep on the nodes of a Slurm job: sbatch examples/slurm.sh [FLAGS of sweeps.run]
# Not tried on a Slurm cluster. All nodes must share the folder of the project, with its .venv.
#SBATCH --job-name=sweeps
#SBATCH --nodes=4
#SBATCH --exclusive
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
set -euo pipefail
cd "${SLURM_SUBMIT_DIR:?submit this with sbatch}"
export PATH="$PWD/.venv/bin:$PATH"

# Only who knows the token, which is another one for each job, may use the job's Ray cluster.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN

# Starts Ray on every node, and the sweep on the first one when all are there. At its end it stops
# all of your Ray processes on these nodes, which is why the job has them to itself.
address=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):$((20000 + SLURM_JOB_ID % 10000))
srun ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" -- \
    python -m sweeps.run --executor ray --ray-address "$address" "$@"
