"""How machines look in a notebook."""

from html import escape
from typing import TYPE_CHECKING, Iterable, List

if TYPE_CHECKING:
    from ._gpve import VirtualMachine

_COLUMNS = ("name", "namespace", "vmid", "node", "phase", "memory")


def table(machines: "Iterable[VirtualMachine]") -> str:
    """An HTML table with a row for each machine."""
    head = "".join("<th>%s</th>" % column for column in _COLUMNS)
    return "<table><thead><tr>%s</tr></thead><tbody>%s</tbody></table>" % (head, "".join(map(_row, machines)))


def _row(vm: "VirtualMachine") -> str:
    cells = (vm.name, vm.namespace, vm.vmid, vm.node, vm.phase, vm.spec["memory"]["size"])
    return "<tr>%s</tr>" % "".join("<td>%s</td>" % escape(str(cell)) for cell in cells)


class VirtualMachineList(List["VirtualMachine"]):
    """A list of machines; a table in a notebook. Watch after `resource_version` to miss nothing."""

    def __init__(self, machines: "Iterable[VirtualMachine]", resource_version: str) -> None:
        super().__init__(machines)
        self.resource_version = resource_version

    def _repr_html_(self) -> str:
        return table(self)
