"""What can be done to machines: the same on a node in this process and on a server, by either face."""

import asyncio
import inspect
from typing import Any, List

import gpve
import pytest
from conftest import PATIENCE_S, small


def test_a_machine_lives_its_whole_life_blocking(machines: gpve.VirtualMachines) -> None:
    web = machines.create_sync(small("web"))
    assert (web.name, web.namespace, web.phase) == ("web", "default", "Stopped")
    assert web.job is not None and web.job.task is not None and web.job.task["phase"] == "Succeeded"
    assert web.start_sync().id is not None
    assert web.phase == "Running", "a change that was waited for is seen"
    web.pause_sync()
    assert web.phase == "Paused"
    web.resume_sync()
    web.reset_sync()
    web.snapshot_sync("before", description="so far")
    assert [s["description"] for s in web.snapshots_sync()] == ["so far"]
    web.describe_snapshot_sync("before", "the first")
    assert [s["description"] for s in web.snapshots_sync()] == ["the first"]
    web.resize_sync("scsi0", "+64Mi")
    web.rollback_sync("before")
    web.delete_snapshot_sync("before")
    assert web.snapshots_sync() == []
    web.clone_machine_sync("copy", full=True)
    assert [vm.name for vm in machines.list_sync()] == ["web", "copy"]
    copy = machines.get_sync("copy")
    copy.template_sync(disk="scsi0")
    assert not copy.spec.get("template"), "only its disk became a base"
    copy.template_sync()
    assert copy.spec["template"]
    web.start_sync()
    web.reboot_sync(timeout_s=5)
    web.shutdown_sync(timeout_s=5, force=True)
    assert web.phase == "Stopped"
    web.start_sync()
    web.stop_sync()
    web.delete_sync()
    with pytest.raises(gpve.NotFound):
        web.refresh_sync()


def test_a_machine_lives_its_whole_life_in_coroutines(machines: gpve.VirtualMachines) -> None:
    async def life() -> None:
        web = await machines.create(small("web"))
        await web.start()
        assert web.phase == "Running"
        await web.pause()
        await web.resume()
        await web.reset()
        await web.snapshot("before", memory=False)
        assert len(await web.snapshots()) == 1
        await web.resize("scsi0", "+64Mi")
        await web.describe_snapshot("before", "the first")
        assert (await web.snapshots())[0]["description"] == "the first"
        await web.rollback("before")
        await web.delete_snapshot("before")
        await web.clone_machine("copy")
        copy, again = await asyncio.gather(machines.get("copy"), machines.get(str(web.vmid)))
        assert (copy.name, again.uid) == ("copy", web.uid)
        await web.start()
        await web.reboot(timeout_s=5)
        await web.shutdown(timeout_s=5, force=True)
        await copy.template()
        assert copy.spec["template"]
        await asyncio.gather(web.delete(), copy.delete())
        assert await machines.list() == []

    asyncio.run(asyncio.wait_for(life(), PATIENCE_S))


def test_what_is_applied_twice_is_changed_once(machines: gpve.VirtualMachines) -> None:
    manifest = small("web", app="web")
    machines.apply_sync("web", manifest)
    again = machines.apply_sync("web", manifest)
    assert again.job is not None and again.job.id is None and again.job.wait_sync() is None
    assert len(machines.list_sync("app=web")) == 1 and machines.list_sync("app=db") == []
    spec = again.spec
    spec["description"] = "replaced"
    document = {"metadata": {"name": "web", "resourceVersion": again.resource_version}, "spec": spec}
    replaced = machines.replace_sync("web", document)
    assert replaced.spec["description"] == "replaced"
    with pytest.raises(gpve.Conflict):
        machines.replace_sync("web", dict(document, spec=dict(spec, description="stale")))


def test_a_plan_does_nothing(machines: gpve.VirtualMachines) -> None:
    plan = machines.plan_create_sync(small("never"))
    assert (plan["verb"], plan["volumes"][0]["storage"]) == ("create", "local")
    assert machines.list_sync() == []
    machines.apply_sync("web", small("web"))
    assert machines.plan_apply_sync("web", small("web"))["steps"] == []
    manifest = small("web")
    manifest["spec"]["description"] = "new"

    async def again() -> None:
        assert (await machines.plan_apply("web", manifest))["changes"] == ["spec.description"]
        with pytest.raises(gpve.InvalidInput):
            await machines.plan_create({"spec": {}})

    asyncio.run(again())
    assert machines.get_sync("web").spec.get("description", "") == ""


def test_a_spare_volume_is_made_listed_and_deleted(place: "gpve.Node | gpve.Client", machines: gpve.VirtualMachines) -> None:
    web, local = machines.create_sync(small("web")), place.storage("local")
    used = local.volumes_sync(web.vmid)
    assert len(used) == 1 and "local" in repr(local) and local.name == "local"
    told: List[gpve.Progress] = []
    assert local.create_volume_sync(web.vmid, "1Gi", progress=told.append).task is not None
    spare = [volume for volume in local.volumes_sync(web.vmid) if volume not in used][0]
    assert (spare["size"], spare["vmid"]) == ("1Gi", web.vmid)
    assert any(spare["id"] in (progress.line or "") for progress in told)
    with pytest.raises(gpve.PreconditionFailed, match="vm %d" % web.vmid):
        local.delete_volume_sync(used[0]["id"])
    local.delete_volume_sync(spare["id"])
    assert local.volumes_sync(web.vmid) == used

    async def of_nobody() -> None:
        here = place.storage("local", node=spare["node"])
        name = "4711/vm-4711-disk-7.raw"
        await here.create_volume(4711, "1Gi", name=name, format="raw")
        assert [volume["id"] for volume in await here.volumes(4711)] == ["local:" + name]
        await (await here.delete_volume(name, wait=False))
        for wrong in (here.delete_volume(name), place.storage("local", node="elsewhere").volumes()):
            with pytest.raises(gpve.NotFound):
                await wrong

    asyncio.run(of_nobody())
    with pytest.raises(gpve.InvalidInput):
        local.create_volume_sync(7, "1Gi")


def test_machines_of_every_namespace_are_told_of(place: "gpve.Node | gpve.Client") -> None:
    names = ["blue", "red"]
    version = place.list_sync().resource_version
    made = [place.virtual_machines(name).create_sync(small("web", team=name), wait=False) for name in names]
    for vm in made:
        assert vm.job is not None and vm.job.id is not None
        ended = place.job(vm.job.id).wait_sync(timeout_s=PATIENCE_S)
        assert ended is not None and ended["type"] == "qmcreate"
    assert [vm.namespace for vm in place.list_sync()] == names
    assert [vm.namespace for vm in place.list_sync("team=red")] == ["red"]
    seen = set()
    for event in place.watch(resource_version=version):
        assert event.machine is not None
        seen.add(event.machine.namespace)
        if len(seen) == 2:
            break

    async def follow() -> None:
        async for event in place.watch("team=blue"):
            assert event.machine is not None and event.machine.namespace == "blue"
            await event.machine.start()
            break
        assert [vm.phase for vm in await place.list("team=blue")] == ["Running"]
        with pytest.raises(gpve.InvalidInput):
            await place.job("nonsense")

    asyncio.run(asyncio.wait_for(follow(), PATIENCE_S))


def test_progress_and_jobs(machines: gpve.VirtualMachines) -> None:
    told: List[gpve.Progress] = []
    web = machines.create_sync(small("web"))
    web.start_sync(progress=told.append)
    assert told[-1].phase == "Succeeded" and any(progress.line == "TASK OK" for progress in told)
    job = web.stop_sync(wait=False)
    assert job.task is None
    ended = job.wait_sync(timeout_s=PATIENCE_S)
    assert ended is not None and ended["type"] == "qmstop" and job.task == ended
    job.cancel_sync()

    async def tell() -> None:
        told.clear()
        started = await web.start(wait=False)
        ended = await started
        assert ended is not None and ended["phase"] == "Succeeded"
        await web.stop(progress=told.append)
        assert told[-1].phase == "Succeeded"
        assert await (await started.wait(progress=told.append) and started) is not None

    asyncio.run(tell())
    with pytest.raises(ZeroDivisionError):
        web.start_sync(progress=lambda _: 1 / 0)
    web.wait_for_sync("Running", timeout_s=PATIENCE_S)


def test_changes_are_watched(machines: gpve.VirtualMachines) -> None:
    web = machines.create_sync(small("web"))
    watch = iter(machines.watch())
    first = next(watch)
    assert (first.kind, first.machine and first.machine.name) == ("ADDED", "web")

    async def follow() -> None:
        starting = asyncio.create_task(web.start())
        async for event in machines.watch(resource_version=machines_version):
            assert event.kind == "MODIFIED" and event.machine is not None
            if event.machine.phase == "Running":
                break
        await starting
        seen = await machines.wait_for("web", lambda vm: vm.phase == "Running", timeout_s=PATIENCE_S)
        assert seen.node == web.node

    machines_version = machines.list_sync().resource_version
    asyncio.run(asyncio.wait_for(follow(), PATIENCE_S))
    web.delete_sync(force=True)
    kinds = []
    while "DELETED" not in kinds:
        kinds.append(next(watch).kind)


def test_waits_end(machines: gpve.VirtualMachines) -> None:
    web = machines.create_sync(small("web"))
    with pytest.raises(gpve.Timeout) as caught:
        web.wait_for_sync("Running", timeout_s=0.05)
    assert caught.value.retry
    with pytest.raises(gpve.InvalidInput):
        web.wait_for_sync("Dancing")
    with pytest.raises(ZeroDivisionError):
        machines.wait_for_sync("web", lambda vm: 1 / 0)

    async def cancelled() -> None:
        waiting = asyncio.create_task(web.wait_for("Running"))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(machines.wait_for("web", "Running"), 0.05)

    asyncio.run(cancelled())


def test_consoles(machines: gpve.VirtualMachines) -> None:
    web = machines.create_sync(small("web"))
    with pytest.raises(gpve.PreconditionFailed):
        web.console().open_sync()
    web.start_sync()
    with web.console() as console:
        console.write_sync("hello\n")
        assert b"hello" in console.read_until_sync("hello", timeout_s=PATIENCE_S)
    with pytest.raises(gpve.PreconditionFailed):
        console.write_sync(b"more")

    async def talk() -> None:
        async with web.console(0) as console:
            reading = asyncio.create_task(console.read_until(b"again"))
            await console.write(b"again")
            assert (await asyncio.wait_for(reading, PATIENCE_S)).endswith(b"again")
            with pytest.raises(gpve.Timeout, match="last output"):
                await console.read_until("never", timeout_s=0.05)

    asyncio.run(talk())


def test_machines_look_good(machines: gpve.VirtualMachines) -> None:
    web = machines.create_sync(small("web", app="<web>"))
    assert repr(web).startswith("<gpve.VirtualMachine default/web: Stopped, vmid ")
    listed = machines.list_sync()
    for html in (web._repr_html_(), listed._repr_html_()):
        assert html.count("<tr>") == 2 and "<td>web</td>" in html
    assert web.labels == {"app": "<web>"} and web.to_dict()["kind"] == "VirtualMachine" and web.status["vmid"] == web.vmid


def test_every_coroutine_has_its_blocking_twin_with_the_same_arguments() -> None:
    twins = 0
    for kind in (gpve.Node, gpve.Client, gpve.VirtualMachines, gpve.VirtualMachine, gpve.Storage, gpve.Job, gpve.Console):
        for name in vars(kind):
            if name.endswith("_sync"):
                asynchronous, blocking = getattr(kind, name[: -len("_sync")]), getattr(kind, name)
                assert inspect.signature(asynchronous) == inspect.signature(blocking), name
                assert asynchronous.__doc__ == blocking.__doc__
                twins += 1
    assert twins == 41


def arguments_of_refusals() -> "list[Any]":
    return [{"metadata": {"name": "web"}, "spec": {"memory": {"size": "1Mi"}}}, {"spec": {"nonsense": 1}}]


@pytest.mark.parametrize("document", arguments_of_refusals())
def test_refusals_name_the_field(machines: gpve.VirtualMachines, document: Any) -> None:
    with pytest.raises(gpve.InvalidInput) as caught:
        machines.create_sync(document)
    assert caught.value.fields and caught.value.kind == "invalid_input" and not caught.value.retry


def test_errors_tell_what_on_what(machines: gpve.VirtualMachines) -> None:
    with pytest.raises(gpve.NotFound) as caught:
        machines.get_sync("nobody")
    assert "nobody" in caught.value.message and isinstance(caught.value, gpve.Error)
    machines.create_sync(small("web"))
    with pytest.raises(gpve.AlreadyExists):
        machines.create_sync(small("web"))
    with pytest.raises(TypeError):
        machines.create_sync({"spec": object()})
