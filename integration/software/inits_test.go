package software

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// engine is what container engines ask of a runtime: namespaces for all but users. The VM is most
// of them; the workload becomes process 1.
var engine = &specs.Linux{Namespaces: []specs.LinuxNamespace{
	{Type: specs.PIDNamespace},
	{Type: specs.NetworkNamespace},
	{Type: specs.IPCNamespace},
	{Type: specs.UTSNamespace},
	{Type: specs.MountNamespace},
	{Type: specs.CgroupNamespace},
}}

var initsRoot = root{
	Name:     "inits",
	Packages: []string{"tini", "dumb-init", "catatonit"},
}

// initsScript is a service that leaves zombies and has an exit code of its own for TERM.
const initsScript = `
sh -c 'sleep 0.1 & exit 0'
trap 'echo stopping; exit 7' TERM
while [ "$(ps -o stat= -C sleep)" ]; do :; done
ps -o pid=,comm= 1
echo ready
while :; do sleep 0.05; done
`

// TestInits runs a service below the small inits of images.
func TestInits(t *testing.T) {
	for _, entrypoint := range []string{"tini --", "tini -g --", "dumb-init --", "catatonit --"} {
		t.Run(entrypoint, func(t *testing.T) {
			t.Parallel()
			words := strings.Fields(entrypoint)
			i := image{Entrypoint: words, Cmd: []string{"sh", "-c", initsScript}, Linux: engine}
			g := start(t, initsRoot.machine(t, i.withControl()))
			if got := g.stdout.wait(t, "ready\n"); !slices.Equal(strings.Fields(got), []string{"1", words[0]}) {
				t.Errorf("process 1 = %q, want %s", got, words[0])
			}
			g.exec("kill -TERM 1")
			g.stdout.wait(t, "stopping\n")
			g.wantExit(7)
			// Some send the signal to the whole group, and the shell tells of its child.
			if got := g.stderr.String(); strings.TrimSuffix(got, "Terminated\n") != "" {
				t.Errorf("standard error = %q, want none", got)
			}
		})
	}
}
