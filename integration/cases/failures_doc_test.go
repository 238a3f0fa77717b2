package cases

import (
	"bytes"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/network"
	"github.com/krunbox/krunbox/integration/vm"
)

// failuresDoc is the document that explains messages.
const failuresDoc = "../../docs/failures.md"

// isMessage reports whether a line of code in the document is a message, and not a command.
func isMessage(line string) bool {
	return slices.ContainsFunc([]string{"krunbox: ", "dhcpclient: ", "Kernel panic "}, func(prefix string) bool {
		return strings.HasPrefix(line, prefix)
	})
}

// documentedMessages returns the messages in the document.
func documentedMessages(t *testing.T) (messages []string) {
	t.Helper()
	text, err := os.ReadFile(failuresDoc)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if code, ok := strings.CutPrefix(line, "    "); ok && isMessage(code) {
			messages = append(messages, strings.TrimSuffix(code, "\n"))
		}
	}
	return messages
}

// withConfig is a change of a machine: the configuration, which names the program, too.
func withConfig(config string) func(*testing.T, *vm.Config) {
	return func(_ *testing.T, cfg *vm.Config) { cfg.Args, cfg.GuestConfig = nil, []byte(config) }
}

// runs is a change of a machine: the workload is a file of the root.
func runs(path string, mode os.FileMode, data []byte) func(*testing.T, *vm.Config) {
	return func(t *testing.T, cfg *vm.Config) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(cfg.Root, path), data, mode); err != nil {
			t.Fatal(err)
		}
		cfg.Args = []string{path}
	}
}

// withEnv is a change of a machine: variables for init. The workload is true.
func withEnv(env ...string) func(*testing.T, *vm.Config) {
	return func(_ *testing.T, cfg *vm.Config) {
		cfg.Args, cfg.Env = []string{"/bin/true"}, append(cfg.Env, env...)
	}
}

// dynamic returns a program for a dynamic loader that the root lacks.
func dynamic(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("/bin/cat")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// foreign returns a program for another architecture than amd64.
func foreign(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(product(t, "arm64"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// silentNetwork adds an interface to the machine. Its server ends the lease of the first client, if
// it grants any, by silence.
func silentNetwork(grants bool) func(*testing.T, *vm.Config) {
	return func(t *testing.T, cfg *vm.Config) {
		t.Helper()
		s := scripted(t, network.SegmentOptions{}, func(s *network.Segment, m message) []network.Reply {
			if grants && m.ClientIPAddr.IsUnspecified() && m.n < 1 {
				return replies(s, grant(m, dhcpv4.WithLeaseTime(6), dhcpv4.WithDNS(net.IPv4(192, 0, 2, 54))))
			}
			return nil
		})
		s.Network.AddTo(cfg)
		cfg.Env = append(cfg.Env, "KRUN_DHCP=1")
		cfg.Args = []string{"/bin/true"}
		if grants {
			cfg.Env = append(cfg.Env, "KRUN_DHCP_TIMEOUT_MS=20000")
			cfg.Args = []string{"/bin/sh", "-c", "while ip addr show eth0 | grep -q 'inet 192'; do sleep 0.1; done"}
		}
	}
}

// failures are the boots that print the documented messages, one each.
func failures(t *testing.T) map[string]failure {
	t.Helper()
	const missing = 127
	return map[string]failure{
		"no program":       {missing, func(_ *testing.T, cfg *vm.Config) { cfg.Args = []string{"nosuch"} }},
		"interpreter":      {missing, runs("/script.py", 0o755, []byte("#!/usr/bin/python3\n"))},
		"loader":           {missing, runs("/dynamic", 0o755, dynamic(t))},
		"permission":       {126, runs("/plain", 0o644, []byte("text\n"))},
		"architecture":     {126, runs("/other", 0o755, foreign(t))},
		"directory":        {125, withEnv("KRUN_WORKDIR=/etc/passwd")},
		"malformed":        {125, withConfig(`{"process": {"args": "/bin/true"}}`)},
		"no configuration": {125, withEnv("KRUN_CONFIG=/nofile")},
		"nothing to run":   {125, withConfig(`{"Env": ["A=1"]}`)},
		"no user":          {125, withConfig(`{"args": ["/bin/true"], "User": "app"}`)},
		"seccomp":          {0, withConfig(`{"process": {"args": ["/bin/true"]}, "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}}}`)},
		"value":            {0, withEnv("KRUN_STOP_TIMEOUT=soon")},
		"no disk":          {125, withEnv("KRUN_BLOCK_ROOT_DEVICE=/dev/vda", "KRUN_BLOCK_ROOT_TIMEOUT_MS=100")},
		"no share": {125, func(t *testing.T, cfg *vm.Config) {
			withConfig(`{"args": ["/bin/true"], "mounts": [{"destination": "/data", "type": "virtiofs", "source": "data"}]}`)(t, cfg)
			cfg.Env = append(cfg.Env, "KRUN_BLOCK_ROOT_TIMEOUT_MS=100")
		}},
		"foreign init": {noCode, func(t *testing.T, cfg *vm.Config) { cfg.Init = product(t, "arm64") }},
		"no server":    {0, silentNetwork(false)},
		"lost lease":   {0, silentNetwork(true)},
		"no lease to show": {4, func(t *testing.T, cfg *vm.Config) {
			cfg.Files = append(cfg.Files, hostfs.File{Path: "/dhcpclient", Source: product(t, cfg.Arch), Mode: 0o755})
			cfg.Args = []string{"/dhcpclient", "-status"}
		}},
		"memory": {137, func(_ *testing.T, cfg *vm.Config) { cfg.MemMiB, cfg.Args = 128, []string{"tail", "/dev/zero"} }},
	}
}

// noCode is the exit code of a machine that sends none.
const noCode = -1

type failure struct {
	code   int
	change func(*testing.T, *vm.Config)
}

// print boots the machine, and returns the messages on its console and the workload's standard error.
func (f failure) print(t *testing.T) (messages []string) {
	t.Helper()
	cfg := withBusybox(t, "amd64")
	f.change(t, &cfg)
	var stderr bytes.Buffer
	cfg.Ports = []vm.Port{{Name: "krun-stderr", Out: &stderr}}
	var result vm.Result
	if f.code == noCode {
		result, _ = vm.Run(t.Context(), cfg) // its error says that no code has come
		if len(result.ExitCodes) > 0 {
			t.Errorf("exit codes = %d, want none", result.ExitCodes)
		}
	} else {
		result = run(t, cfg, f.code)
	}
	for line := range strings.Lines(console(result) + "\n" + stderr.String()) {
		line = strings.TrimSuffix(line, "\n")
		if _, text, ok := strings.Cut(line, "] "); ok && strings.HasPrefix(line, "[") {
			line = text // of the kernel
		}
		if isMessage(line) && !strings.Contains(line, "end Kernel panic") {
			messages = append(messages, line)
		}
	}
	return messages
}

// TestFailuresDocument boots a machine for each message in the document, and compares what it
// prints with what the document has.
func TestFailuresDocument(t *testing.T) {
	t.Parallel()
	left := map[string]int{} // documented messages that nobody has printed
	for _, m := range documentedMessages(t) {
		left[m]++
	}
	var mu sync.Mutex
	var printed []string
	t.Run("boots", func(t *testing.T) {
		for name, f := range failures(t) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				got := f.print(t)
				if len(got) != 1 || left[got[0]] != 1 {
					t.Errorf("messages: %q, want one, which is in %s", got, failuresDoc)
				}
				mu.Lock()
				defer mu.Unlock()
				printed = append(printed, got...)
			})
		}
	})
	for _, m := range printed {
		delete(left, m)
	}
	if len(left) > 0 {
		t.Errorf("%s has messages that no boot has printed: %q", failuresDoc, slices.Sorted(maps.Keys(left)))
	}
}
