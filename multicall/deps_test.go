package multicall

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/krunbox/krunbox/"

// banned are patterns of packages that the guest binary must not link, and the reasons.
var banned = []struct{ pattern, why string }{
	{"archive/...", "the guest reads no archives"},
	{"compress/...", "the guest reads no compressed files"},
	{"crypto/...", "size and start-up time: the guest has no secrets"},
	{"encoding/gob", "size: it uses reflection on all types"},
	{"encoding/json", "size: see pkg/jsonio"},
	{"github.com/go-json-experiment/json", "size: the linker keeps all exported methods; see pkg/jsonio"},
	{"html/...", "size: brings text/template"},
	{"log/slog", "size: a logger is passed in"},
	{"net/http/...", "size and start-up time"},
	{"os/exec", "its Wait and the reaper of PID 1 would compete for children"},
	{"os/user", "users are looked up in the image's /etc/passwd"},
	{"regexp/...", "size and start-up time"},
	{"testing/...", "belongs in tests"},
	{"text/template/...", "size: the linker keeps all methods of all types"},
}

// required are the libraries that the guest binary uses in place of code of its own.
var required = []string{
	"github.com/go-json-experiment/json/jsontext",
	"github.com/insomniacslk/dhcp/dhcpv4",
	"github.com/insomniacslk/dhcp/dhcpv6",
	"github.com/moby/sys/mountinfo",
	"github.com/opencontainers/runtime-spec/specs-go",
	"github.com/u-root/gobusybox/src/pkg/bb/bbmain",
	"github.com/vishvananda/netlink",
	"net/netip",
	"os",
	"os/signal",
}

// layers are patterns of imports that the order of the packages forbids, and the reasons.
var layers = []struct{ importer, imported, why string }{
	{module + "pkg/...", module + "cmds/...", "pkg is a library for other programs"},
	{module + "pkg/...", module + "multicall/...", "pkg is a library for other programs"},
	{module + "pkg/...", module + "pkg/guestinit/...", "it is for hosts"},
	{module + "cmds/...", module + "pkg/guestinit/...", "it is for hosts"},
	{module + "cmds/...", module + "multicall/...", "commands do not depend on their binary"},
	{module + "multicall/dispatch", module + "...", "the binary does not depend on its commands"},
	{module + "...", module + "internal/...", "it is for builds and tests"},
	{module + "...", "log", "a logger is passed in"},
}

// shared are the packages of pkg/ that others in pkg/ may import. The rest do not import each
// other, so that a program that needs one of them gets one, and a change to one does not break
// another.
var shared = []string{
	module + "pkg/dnsname",   // names in DNS
	module + "pkg/imagefile", // reads files of an image or a host
	module + "pkg/jsonio",    // reads and writes JSON
	module + "pkg/kmsg",      // reads the kernel's log
	module + "pkg/loop",      // the poll loop and its tasks
	module + "pkg/oci",       // names and numbers of the OCI runtime specification
	module + "pkg/op",        // operations
	module + "pkg/poweroff",  // the exit codes
	module + "pkg/recvmsg",   // receives datagrams
}

// composed are packages of pkg/ that combine others.
var composed = []string{
	module + "pkg/guest",     // who wins: host, configuration or image
	module + "pkg/guestboot", // the order of a boot
	module + "pkg/guestinit", // what a host hands to init
	module + "pkg/network",   // DHCP, router advertisements, interfaces and resolv.conf
}

// A graph maps import paths to the import paths of what they import.
type graph map[string][]string

// matches reports whether pattern stands for the package: "a/..." stands for a and everything
// below, any other pattern for itself.
func matches(pattern, importPath string) bool {
	tree, isTree := strings.CutSuffix(pattern, "...")
	return importPath == strings.TrimSuffix(tree, "/") ||
		isTree && strings.HasPrefix(importPath, tree)
}

// chain returns a shortest chain of imports from one of the roots to a package that pattern stands
// for, or nil.
func (g graph) chain(roots []string, pattern string) []string {
	importer := map[string]string{}
	for _, root := range roots {
		importer[root] = ""
	}
	for queue := slices.Clone(roots); len(queue) > 0; queue = queue[1:] {
		if matches(pattern, queue[0]) {
			var chain []string
			for p := queue[0]; p != ""; p = importer[p] {
				chain = append(chain, p)
			}
			slices.Reverse(chain)
			return chain
		}
		for _, p := range g[queue[0]] {
			if _, seen := importer[p]; !seen {
				importer[p] = queue[0]
				queue = append(queue, p)
			}
		}
	}
	return nil
}

// loadGraph returns the import graph, as built for a guest, of the packages that the patterns name.
func loadGraph(t *testing.T, patterns ...string) (roots []string, g graph) {
	t.Helper()
	args := append([]string{"list", "-deps", "-json=ImportPath,Imports,DepOnly"}, patterns...)
	cmd := exec.Command("go", args...)
	cmd.Dir = moduleRoot
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.Bytes())
	}
	g = graph{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
			DepOnly    bool
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return roots, g
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		g[p.ImportPath] = p.Imports
		if !p.DepOnly {
			roots = append(roots, p.ImportPath)
		}
	}
}

func TestGuestBinaryLinksNothingBanned(t *testing.T) {
	roots, g := loadGraph(t, "./cmds/...", "./multicall/krunbox")
	for _, b := range banned {
		if chain := g.chain(roots, b.pattern); chain != nil {
			t.Errorf("%s is linked into the guest binary (%s): %s",
				chain[len(chain)-1], b.why, strings.Join(chain, " -> "))
		}
	}
}

func TestGuestBinaryLinksLibraries(t *testing.T) {
	_, g := loadGraph(t, "./cmds/...", "./multicall/krunbox")
	for _, library := range required {
		if _, ok := g[library]; !ok {
			t.Errorf("%s is not linked into the guest binary", library)
		}
	}
}

func TestLayers(t *testing.T) {
	_, g := loadGraph(t, "./cmds/...", "./pkg/...", "./multicall/krunbox")
	library := module + "pkg/..."
	for _, importer := range slices.Sorted(maps.Keys(g)) {
		for _, l := range layers {
			if !matches(l.importer, importer) {
				continue
			}
			for _, imported := range g[importer] {
				if matches(l.imported, imported) {
					t.Errorf("%s imports %s: %s", importer, imported, l.why)
				}
			}
		}
		for _, imported := range g[importer] {
			if matches(library, importer) && matches(library, imported) &&
				!slices.Contains(shared, imported) && !slices.Contains(composed, importer) {
				t.Errorf("%s imports %s: it is not among the shared packages", importer, imported)
			}
		}
	}
}

// TestChain tests chain and matches, on which the other tests depend.
func TestChain(t *testing.T) {
	g := graph{
		"cmds/a": {"os", "pkg/x"},
		"cmds/b": {"pkg/y"},
		"pkg/x":  {"pkg/y", "os"},
		"pkg/y":  {"net/http", "pkg/x"},
	}
	roots := []string{"cmds/a", "cmds/b"}
	for _, tt := range []struct {
		pattern string
		want    []string
	}{
		{"net/http", []string{"cmds/b", "pkg/y", "net/http"}},
		{"net/...", []string{"cmds/b", "pkg/y", "net/http"}},
		{"os", []string{"cmds/a", "os"}},
		{"net", nil},
		{"o...", []string{"cmds/a", "os"}},
		{"os/...", []string{"cmds/a", "os"}},
		{"pkg/x/...", []string{"cmds/a", "pkg/x"}},
		{"cmds/b", []string{"cmds/b"}},
	} {
		if got := g.chain(roots, tt.pattern); !slices.Equal(got, tt.want) {
			t.Errorf("chain(%q) = %q, want %q", tt.pattern, got, tt.want)
		}
	}
}
