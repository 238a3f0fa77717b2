package cases

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/krunbox/krunbox/integration/network"
	"github.com/krunbox/krunbox/integration/vm"
)

// TestSuspend suspends a machine to memory for some seconds, with a distribution's kernel: libkrun's
// can't. When the machine is awake again, init must ask at once whether its lease is still valid. Each
// answer has another name server.
func TestSuspend(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	img := image{filepath.Join(dir, "krunbox.cpio.gz"), filepath.Join(dir, "vmlinuz")}
	const text = `#!/bin/sh
until_server() { until grep -q "nameserver 192.0.2.$1$" /etc/resolv.conf; do sleep 0.05; done; echo "server $1"; }
until_server 100
# virtiofs, which this machine does not use, can't be suspended.
for device in /sys/bus/virtio/drivers/virtiofs/virtio*; do echo ${device##*/} >/sys/bus/virtio/drivers/virtiofs/unbind; done
echo mem >/sys/power/state && echo awake
until_server 101
`
	if err := os.WriteFile(dir+"/script", []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	imageTool(t, "-o", img.initramfs, "-kernel", "debian", "-kernel-out", img.kernel, "-shell", "busybox",
		"-files", dir+"/script:"+scriptPath)
	s := scripted(t, network.SegmentOptions{}, func(s *network.Segment, m message) []network.Reply {
		return replies(s, grant(m, dhcpv4.WithDNS(net.IPv4(192, 0, 2, byte(100+m.n)))))
	})
	cfg := vm.Config{
		Arch: "amd64", Machine: vm.Q35, Kernel: img.kernel, Initrd: img.initramfs, InitPath: "/init", Dirs: []string{},
		Deadline: 2 * time.Minute, Args: []string{scriptPath},
		Env: []string{"KRUN_TIMESYNC=0", "KRUN_DHCP=1", "KRUN_DHCP_TIMEOUT_MS=10000"},
	}
	s.Network.AddTo(&cfg)
	wakeUp(t, &cfg)
	got := runToPowerOff(t, cfg)
	if !strings.Contains(got, "server 100\n") || !strings.Contains(got, "awake\nserver 101\n") {
		t.Errorf("console = %s\nwant both servers", got)
	}
}

// wakeUp has the host wake the machine two seconds after it has suspended itself.
func wakeUp(t *testing.T, cfg *vm.Config) {
	t.Helper()
	control, err := vm.NewControl()
	if err != nil {
		t.Fatal(err)
	}
	control.AddTo(cfg)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			status, err := control.Query(ctx, "query-status", nil)
			if err != nil {
				return // the machine has stopped
			}
			if bytes.Contains(status, []byte(`"suspended"`)) {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		if err := control.Execute(ctx, "system_wakeup", nil); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-ended
		if err := control.Close(); err != nil {
			t.Error(err)
		}
	})
}
