"""A Slurm of one's own, of one node on this machine, for as long as it takes: slurmctld and slurmd of the distribution (Debian: slurmctld slurmd
slurm-client) with a config in a temporary folder and free ports. Nothing of the system's own Slurm is read or changed."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PROGRAMS = ["slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel"]

CONFIG = """ClusterName=own
SlurmctldHost={host}
AuthType=auth/none
CredType=cred/none
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/linear
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
KillWait=10
MinJobAge=600
OverTimeLimit=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} CPUs={cpus} State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=10 PreemptMode=REQUEUE State=UP
PartitionName=high Nodes={host} MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF State=UP
"""


class CannotStart(Exception):
    """Why there is no Slurm here."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


class Slurm:
    def __init__(self):
        missing = [name for name in PROGRAMS if not shutil.which(name, path=self.path())]
        if missing:
            raise CannotStart(f"not installed: {', '.join(missing)}")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mneme-slurm-"))
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        user = subprocess.run(["id", "-un"], text=True, capture_output=True).stdout.strip()
        self.config = self.folder / "slurm.conf"
        self.config.write_text(CONFIG.format(host=socket.gethostname().split(".")[0], user=user, folder=self.folder, cpus=os.cpu_count(),
                                             ports=[free_port(), free_port()]))
        self.daemons = []
        try:
            for program in (["slurmctld", "-D", "-i"], ["slurmd", "-D"]):
                with open(self.folder / f"{program[0]}.out", "w") as out:
                    self.daemons.append(subprocess.Popen([*program, "-f", self.config], env=self.environment(), stdout=out, stderr=out,
                                                         stdin=subprocess.DEVNULL, start_new_session=True))
            deadline = time.monotonic() + 30
            while "idle" not in self.ask("sinfo", "-h", "-o", "%T", "-p", "low"):
                ended = [daemon.args[0] for daemon in self.daemons if daemon.poll() is not None]
                if ended or time.monotonic() > deadline:
                    raise CannotStart(f"{ended or 'the node'} did not come up: {self.last_words()}")
                time.sleep(0.2)
        except BaseException:
            self.stop()
            raise

    @staticmethod
    def path():
        return f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/sbin"

    def environment(self):
        return {**os.environ, "PATH": self.path(), "SLURM_CONF": str(self.config)}

    def last_words(self):
        return " | ".join(f"{path.name}: {path.read_text(errors='replace').strip().splitlines()[-1:]}"
                          for path in sorted(self.folder.glob("slurm*.*")) if path.suffix in (".log", ".out"))

    def ask(self, *command):
        """What a Slurm command prints."""
        return subprocess.run(command, env=self.environment(), text=True, capture_output=True, timeout=30).stdout

    def jobs(self):
        """State and restarts by job or array task that has not left the queue's memory: {"12_3": ("RUNNING", 1)}."""
        found = {}
        for line in self.ask("scontrol", "-o", "show", "jobs").splitlines():
            fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
            if "JobId" not in fields:
                continue
            name = f"{fields['ArrayJobId']}_{fields['ArrayTaskId']}" if "ArrayTaskId" in fields else fields["JobId"]
            found[name] = (fields["JobState"], int(fields.get("Restarts", 0)))
        return found

    def stop(self):
        if all(daemon.poll() is None for daemon in self.daemons) and len(self.daemons) == 2:
            self.ask("scancel", "--full", "--signal=KILL", "--user", str(os.getuid()))
            self.ask("scancel", "--user", str(os.getuid()))
            deadline = time.monotonic() + 20
            while self.ask("squeue", "-h") and time.monotonic() < deadline:
                time.sleep(0.2)
        for daemon in reversed(self.daemons):
            if daemon.poll() is None:
                daemon.send_signal(signal.SIGTERM)
        for daemon in self.daemons:
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
