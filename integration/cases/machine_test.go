package cases

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// machineGuest uses, as user 1000, what the boot of a distribution allows every user.
var machineGuest = inGuest("machine", func(t *testing.T) {
	const cgroup = "/sys/fs/cgroup/"
	controllers, err := os.ReadFile(cgroup + "cgroup.controllers")
	enabled, err2 := os.ReadFile(cgroup + "cgroup.subtree_control") // at the start: init does not race
	if err != nil || err2 != nil || len(controllers) < 10 || string(enabled) != string(controllers) {
		t.Errorf("controllers %q, %v, enabled %q, %v, want all", controllers, err, enabled, err2)
	}
	if uid := os.Getuid(); uid != 1000 {
		t.Fatalf("uid = %d, want 1000", uid)
	}
	for _, device := range []string{"/dev/fuse", "/dev/net/tun", "/dev/vsock", "/dev/snd/timer"} {
		fd, err := unix.Open(device, unix.O_RDWR, 0)
		if err != nil {
			t.Errorf("open %s: %v", device, err)
		}
		unix.Close(fd)
	}
	if l, err := net.Listen("tcp", "127.0.0.1:80"); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
	ping(t)
	for name, want := range map[string]string{
		"vm/max_map_count": "1048576", "fs/inotify/max_user_instances": "1024",
		"fs/inotify/max_user_watches": "524288", "kernel/pid_max": "32768",
		"vm/user_reserve_kbytes": "0",
	} {
		text, err := os.ReadFile("/proc/sys/" + name)
		if got := strings.TrimSpace(string(text)); err != nil || got != want {
			t.Errorf("%s = %q, %v, want %s", name, got, err, want)
		}
	}

	// As podman and runc do without root.
	path := filepath.Join(cgroup, ownCgroup(t), "child")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, value := range map[string]string{"memory.max": "268435456", "pids.max": "200"} {
		if err := os.WriteFile(path+"/"+file, []byte(value), 0); err != nil {
			t.Error(err)
		}
	}
	if err := os.WriteFile(path+"/cgroup.procs", []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		t.Error(err)
	}
	if got := ownCgroup(t); !strings.HasSuffix(got, "/child") {
		t.Errorf("cgroup = %s, want the child", got)
	}
})

// ownCgroup returns the path of the process's cgroup below the mount point.
func ownCgroup(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	path, found := strings.CutPrefix(string(text), "0::")
	if err != nil || !found {
		t.Fatalf("/proc/self/cgroup = %q, %v", text, err)
	}
	return strings.TrimSpace(path)
}

// ping sends an echo request to 127.0.0.1 as ping(8) does without capabilities.
func ping(t *testing.T) {
	t.Helper()
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP)
	if err != nil {
		t.Errorf("socket for ping: %v", err)
		return
	}
	defer unix.Close(s)
	timeout := unix.NsecToTimeval(int64(10 * time.Second))
	if err := unix.SetsockoptTimeval(s, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		t.Fatal(err)
	}
	request := []byte{8, 0, 0, 0, 0, 0, 0, 1, 'p', 'i', 'n', 'g'} // the kernel adds checksum and ID
	if err := unix.Sendto(s, request, 0, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Errorf("ping: %v", err)
		return
	}
	b := make([]byte, 100)
	n, _, err := unix.Recvfrom(s, b, 0)
	if err != nil || !strings.HasSuffix(string(b[:max(n, 0)]), "ping") || b[0] != 0 {
		t.Errorf("answer to ping = % x, %v, want an echo reply", b[:max(n, 0)], err)
	}
}

func TestMachineDefaults(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		cfg := machine(t, arch)
		machineGuest.addTo(t, &cfg)
		cfg.GuestConfig = []byte(`{"process": {"user": {"uid": 1000, "gid": 1000}}}`)
		wantConsole(t, run(t, cfg, 0), passed)
	})
}

// showDefaults prints a line for each default.
const showDefaults = `
stat -c '%n %a' /dev/fuse /dev/net/tun /dev/kvm
stat -c '%n %u' /sys/fs/cgroup /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/memory.reclaim
for name in net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range vm/max_map_count; do
	echo $name $(cat /proc/sys/$name)
done
echo files $(ulimit -Sn) $(ulimit -Hn)
diff /sys/fs/cgroup/cgroup.controllers /sys/fs/cgroup/cgroup.subtree_control && echo all
`

// The configuration prevails over the defaults, and KRUN_MACHINE_DEFAULTS=0 leaves all as the
// kernel has it.
func TestMachineDefaultsOverridden(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, config string
		env, want    []string
	}{
		{"configuration", `{"User": "1000", "linux": {"sysctl": {"net.ipv4.ip_unprivileged_port_start": "500",
				"vm.max_map_count": "70000"},
			"devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 384}]}}`,
			[]string{"KRUN_RLIMITS=7=100:200"},
			[]string{"/dev/fuse 600", "/dev/net/tun 666", "/dev/kvm 666",
				"/sys/fs/cgroup 1000", "/sys/fs/cgroup/cgroup.procs 1000", "/sys/fs/cgroup/memory.reclaim 0",
				"net/ipv4/ip_unprivileged_port_start 500", "net/ipv4/ping_group_range 0 2147483647",
				"vm/max_map_count 70000", "files 100 200", "all"}},
		{"off", `{"User": "1000"}`, []string{"KRUN_MACHINE_DEFAULTS=0"},
			[]string{"/dev/fuse 600", "/dev/net/tun 600", "/dev/kvm 600",
				"/sys/fs/cgroup 0", "/sys/fs/cgroup/cgroup.procs 0", "/sys/fs/cgroup/memory.reclaim 0",
				"net/ipv4/ip_unprivileged_port_start 1024", "net/ipv4/ping_group_range 1 0",
				"vm/max_map_count 65530", "files 1024 4096", "all"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := script(t, "amd64", showDefaults)
			cfg.GuestConfig, cfg.Env = []byte(c.config), c.env
			got := strings.Split(strings.TrimSpace(console(run(t, cfg, 0))), "\n")
			if !slices.Equal(got, c.want) {
				t.Errorf("defaults = %q,\nwant %q", got, c.want)
			}
		})
	}
}
