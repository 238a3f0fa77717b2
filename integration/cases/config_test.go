package cases

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/krunbox/krunbox/integration/hostfs"
	"github.com/krunbox/krunbox/integration/virtiofs"
)

// TestConfiguration checks the formats in which a configuration may come, and which of several
// settings takes precedence.
func TestConfiguration(t *testing.T) {
	type want struct {
		args     string // blank-separated
		dir      string
		env      string // besides HOME and TERM
		hostname string
	}
	for _, tt := range []struct {
		name   string
		config string
		env    []string
		args   []string
		want   want
	}{
		{
			name: "OCI, under process",
			config: `{"ociVersion": "1.2.0", "hostname": "config",
				"process": {"args": ["observer", "process"], "env": ["A=process"], "cwd": "/tmp", "user": {"uid": 0, "gid": 0}},
				"args": ["false"], "env": ["A=flat"], "cwd": "/etc"}`,
			env:  []string{"HOSTNAME=host"},
			want: want{args: "process", dir: "/tmp", env: "HOSTNAME=host A=process", hostname: "config"},
		},
		{
			name:   "OCI, flat",
			config: `{"args": ["observer", "flat"], "env": ["A=flat"], "cwd": "/tmp"}`,
			env:    []string{"HOSTNAME=host"},
			want:   want{args: "flat", dir: "/tmp", env: "HOSTNAME=host A=flat", hostname: "host"},
		},
		{
			name:   "image",
			config: `{"Entrypoint": ["observer", "entry"], "Cmd": ["command"], "Env": ["A=image"], "WorkingDir": "/tmp"}`,
			want:   want{args: "entry command", dir: "/tmp", env: "A=image", hostname: "localhost"},
		},
		{
			name: "image with layers",
			config: `{"architecture": "amd64", "os": "linux", "config": {"Entrypoint": ["observer"], "Cmd": ["hi"], "Env": ["PATH=/bin", "A=image"], "WorkingDir": "/tmp"},
				"rootfs": {"type": "layers", "diff_ids": ["sha256:0"]}, "history": [{"created_by": "x"}]}`,
			want: want{args: "hi", dir: "/tmp", env: "A=image PATH=/bin", hostname: "localhost"},
		},
		{
			name:   "image, Cwd",
			config: `{"Cmd": ["observer", "command"], "Entrypoint": [], "Env": null, "Cwd": "/tmp"}`,
			want:   want{args: "command", dir: "/tmp", hostname: "localhost"},
		},
		{
			name:   "entry point of the image, arguments of the container",
			config: `{"Entrypoint": ["observer"], "Cmd": ["image"], "process": {"args": ["container"]}}`,
			want:   want{args: "container", dir: "/", hostname: "localhost"},
		},
		{
			name:   "KRUN_INIT wins",
			config: `{"args": ["false"], "Entrypoint": ["false"], "cwd": "/etc"}`,
			env:    []string{"KRUN_INIT=observer", "KRUN_WORKDIR=/tmp"},
			args:   []string{"from", "the", "host"},
			want:   want{args: "from the host", dir: "/tmp", hostname: "localhost"},
		},
		{
			name:   "the configuration wins over arguments",
			config: `{"args": ["observer", "configured"], "cwd": "/made/by/init"}`,
			args:   []string{"false"},
			want:   want{args: "configured", dir: "/made/by/init", hostname: "localhost"},
		},
		{
			name:   "arguments win over the shell",
			config: `{"args": []}`,
			args:   []string{"observer", "argument"},
			want:   want{args: "argument", dir: "/", hostname: "localhost"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := withObserver(t, "amd64")
			cfg.GuestConfig, cfg.Env, cfg.Args = []byte(tt.config), tt.env, tt.args
			s := observe(t, cfg)
			s.wantArgs(t, strings.Fields(tt.want.args)...)
			s.wantEnv(t, append(strings.Fields(tt.want.env), "HOME=/root", "TERM=linux")...)
			s.want(t, "dir", tt.want.dir)
			s.want(t, "hostname", tt.want.hostname)
			if _, err := os.Stat(filepath.Join(cfg.Root, tt.want.dir)); err != nil {
				t.Errorf("working directory on the host: %v", err)
			}
		})
	}
}

// TestConfigurationElsewhere boots a guest with a configuration at the path in KRUN_CONFIG and
// another one at the default path, and checks that init reads only the first.
func TestConfigurationElsewhere(t *testing.T) {
	t.Parallel()
	cfg := withObserver(t, "amd64")
	cfg.Args = nil
	cfg.GuestConfig = []byte(`{"args": ["false"], "hostname": "wrong"}`)
	cfg.Files = append(cfg.Files, hostfs.File{Path: "/etc/guest.json", Data: []byte(`{"args": ["observer", "right"]}`), OneShot: true})
	cfg.Env = []string{"KRUN_CONFIG=/etc/guest.json"}
	s := observe(t, cfg)
	s.wantArgs(t, "right")
	s.want(t, "hostname", "localhost")
}

// TestShellByDefault boots a guest without a configured program, and checks that the workload is a
// shell.
func TestShellByDefault(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	cfg.ConsoleIn = strings.NewReader("exit 5\n")
	run(t, cfg, 5)
}

// TestBadConfiguration boots guests with configurations that are invalid or that krunbox cannot
// apply. It checks that init runs no workload, not even the default shell, and that one line on the
// console names the error.
func TestBadConfiguration(t *testing.T) {
	for _, tt := range []struct {
		name, config string
		env          []string
		want         []string // parts of the message, in order
	}{
		{"empty", "", nil, []string{"/.krun_config.json", "line 1, column 1"}},
		{"cut", `{"args": ["/bin/echo"`, nil, []string{"/.krun_config.json", "line 1, column 22", "args"}},
		{"two documents", `{"args": ["/bin/echo"]} {}`, nil, []string{"/.krun_config.json", "line 1, column 25"}},
		{"wrong type", "{\n  \"process\": {\n    \"args\": \"/bin/echo\"}}", nil,
			[]string{"/.krun_config.json", "line 3, column 13", "process.args", "list", "string"}},
		{"escaped NUL", `{"args": ["/bin/echo", "a\u0000b"]}`, nil, []string{"/.krun_config.json", "line 1, column 24", "args[1]", "NUL"}},
		{"NUL", "{\"args\": [\"/bin/echo\", \"a\x00b\"]}", nil, []string{"/.krun_config.json", "line 1, column 2", "args[1]"}},
		{"nested deeply", `{"args": ["/bin/echo"], "x": ` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}", nil,
			[]string{"/.krun_config.json", "line 1, column 157", "128"}},
		{"too large", `{"args": ["/bin/echo", "` + strings.Repeat("a", 10_000_000) + `"]}`, nil,
			[]string{"/.krun_config.json", "larger than 8388608 bytes"}},
		{"unknown limit", `{"args": ["/bin/echo"], "process": {"rlimits": [{"type": "RLIMIT_FILES", "soft": 1, "hard": 1}]}}`, nil,
			[]string{"/.krun_config.json", "line 1, column 49", "process.rlimits[0]", "RLIMIT_FILES"}},
		{"missing", `{"args": ["/bin/echo"]}`, []string{"KRUN_CONFIG=/no/such"}, []string{"/no/such", "no such file"}},
		{"limits that are no numbers", `{"args": ["/bin/echo"]}`, []string{"KRUN_RLIMITS=7=many:4096"}, []string{"KRUN_RLIMITS", "many"}},
		{"no program", `{"env": ["A=1"]}`, nil, []string{"no program"}},
		{"working directory that is a file", `{"args": ["/bin/echo"], "cwd": "/etc/passwd"}`, nil, []string{"/etc/passwd", "not a directory"}},
		{"working directory below a file", `{"args": ["/bin/echo"]}`, []string{"KRUN_WORKDIR=/etc/passwd/x"},
			[]string{"/etc/passwd/x", "not a directory"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := withBusybox(t, "amd64")
			cfg.GuestConfig, cfg.Env = []byte(tt.config), tt.env
			wantLine(t, console(run(t, cfg, 125)), append([]string{"krunbox: "}, tt.want...)...)
		})
	}
}

// TestStaleConfiguration has a host fail to open the configuration, whose name is gone after the
// look-up. The kernel looks it up again; init must not take it for missing and start a shell.
func TestStaleConfiguration(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fails int // how often
		code  int
		want  []string
	}{
		{"once", 1, 7, nil},
		{"always", 100, 125, []string{"krunbox: configuration: ", "/.krun_config.json", "stale"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := script(t, "amd64", "exit 7")
			cfg.Args, cfg.GuestConfig = nil, []byte(`{"args": ["/script"]}`)
			var failed atomic.Int32
			cfg.Intercept = func(r virtiofs.Request) (a virtiofs.Answer) {
				if r.Op == virtiofs.OpOpen && r.Path == ".krun_config.json" && failed.Add(1) <= int32(tt.fails) {
					a.Error = syscall.ESTALE
				}
				return a
			}
			result := run(t, cfg, tt.code)
			if failed.Load() == 0 {
				t.Error("no request was made to open the configuration")
			}
			if tt.want == nil {
				wantConsole(t, result, "")
			} else {
				wantLine(t, console(result), tt.want...)
			}
		})
	}
}
