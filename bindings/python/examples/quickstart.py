"""A machine's life on this computer, without a server: `python quickstart.py DIRECTORY [--real]`.

<gpve.VirtualMachine default/web: Stopped, vmid 100, on localhost>
TASK OK
Running
[]
"""

import sys

import gpve


def main(directory: str, simulated: bool) -> None:
    with gpve.Node(directory, simulated=simulated) as node:
        machines = node.virtual_machines()
        disk = {"name": "scsi0", "source": {"new": {"storage": "local", "size": "1Gi"}}}
        web = machines.create_sync({"metadata": {"name": "web"}, "spec": {"memory": {"size": "128Mi"}, "disks": [disk]}})
        print(web)
        web.start_sync(progress=lambda told: told.line and print(told.line))
        print(web.phase)
        web.delete_sync(force=True)
        print(machines.list_sync())


if __name__ == "__main__":
    main(sys.argv[1], "--real" not in sys.argv)
