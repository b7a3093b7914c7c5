"""Follows what happens while machines are made side by side: `python watch.py DIRECTORY`.

db: Running
web: Running
"""

import asyncio
import sys

import gpve


async def launch(machines: gpve.VirtualMachines, name: str) -> None:
    vm = await machines.create({"metadata": {"name": name}, "spec": {"memory": {"size": "64Mi"}}})
    await vm.start()


async def main(directory: str) -> None:
    async with gpve.Node(directory, simulated=True) as node:
        machines = node.virtual_machines()
        launching = asyncio.gather(launch(machines, "web"), launch(machines, "db"))
        running = set()
        async for event in machines.watch():
            if event.machine is not None and event.machine.phase == "Running":
                running.add(event.machine.name)
            if len(running) == 2:
                break
        await launching
        for vm in sorted(await machines.list(), key=lambda vm: vm.name):
            print("%s: %s" % (vm.name, vm.phase))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
