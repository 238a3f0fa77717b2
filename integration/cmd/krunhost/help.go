package main

// usage fits on a screen of 24 lines of 100 columns. The manual has the details.
const usage = `Usage: krunhost [OPTIONS] [--] [CMD ARG...]
Boots a virtual machine with krunbox as its init, runs CMD in it, and exits with CMD's exit code.
  --root DIR          root directory of the guest, which writes to it (default: a new BusyBox root)
  --image FILE        boot a container image: a file of docker save, an OCI archive or layout
  --file NAME=PATH    show the host's file PATH, or PATH:one-shot, to the guest as NAME
  --env K=V           environment variable of CMD, or of init: KRUN_*, HOSTNAME
  --config FILE       configuration for init, such as an OCI config.json
  --init PATH         init program (default: init.krun next to krunhost)
  --arch ARCH         amd64 or arm64 (default: that of this machine)
  --port NAME[=FILE]  virtio port whose output goes to FILE (default: to standard error)
  --net               network interface eth0, configured by DHCP
  --publish H:G       forward TCP port H of 127.0.0.1 to the guest's port G; implies --net
  --disk FILE[:ro]    disk /dev/vda, /dev/vdb, ... with the raw image FILE
  --share TAG=DIR     directory for the guest: mount -t virtiofs TAG /mnt
  --mem MIB           memory (default: 512)
  --cpus N            number of CPUs (default: 1)
  --timeout DURATION  kill the machine after a time such as 90s
  --boot-chart FILE   write a chart of the boot: SVG, or text to standard output if FILE is -
  -v                  print the kernel's messages and QEMU's command line
  --manual            print this at length
Ctrl-C presses the guest's power key, and kills the machine if pressed again; in a terminal session
it belongs to the guest, and Ctrl-] kills the machine. Examples:
  krunhost --net -- sh -c 'ip addr; exit 7'; echo $?
  krunhost --image nginx.tar --publish 8080:80
`

// manual is what the manual page has in place of usage; see package multicall/dist.
const manual = `  --root DIR          root directory of the guest, such as an unpacked container image. The guest
                      writes to it. Default: a temporary directory with BusyBox.
  --image FILE        boots the container image in FILE: the output of "docker save" or "podman
                      save", an OCI archive, each also compressed by gzip or zstd, or an OCI layout
                      directory. The image's entrypoint, command, environment, user, working
                      directory and stop signal apply; CMD takes the place of its command, and --env
                      adds variables. --env KRUN_INIT=/bin/sh runs a shell in place of the
                      entrypoint, with the arguments CMD. The image is unpacked once, into
                      ~/.cache/krunbox/image-sha256-*, which may be removed. No run changes it: what
                      the guest writes is in memory, and gone at the end. With
                      --disk FILE --env KRUN_ROOT_OVERLAY=/dev/vda it is in FILE, a file system, and
                      stays. Only root gets files with the image's owners.
  --file NAME=PATH[:one-shot]
                      adds the host's file PATH to the guest, read-only, with the absolute path
                      NAME. A one-shot file can be opened once.
  --env K=V           sets an environment variable. HOSTNAME and names that begin with KRUN_ are
                      set for init, others for CMD.
  --config FILE       configuration for init, such as an OCI config.json. Default: generated from
                      CMD, --env and the image. With --config, CMD and --env go on the kernel
                      command line.
  --init PATH         init program. Default: init.krun in the directory of krunhost.
  --arch ARCH         architecture of the guest, amd64 or arm64. Default: that of this machine.
  --port NAME[=FILE]  adds the virtio port NAME, /dev/vport* in the guest. The guest's output on it
                      goes to FILE. Default: standard error, with NAME before each line.
  --net               adds a network interface, eth0, and sets KRUN_DHCP=1, so that init configures
                      it by DHCP. It is QEMU's user network: the guest can connect to all hosts
                      that this machine can connect to. Other hosts cannot connect to the guest.
  --publish HOST:GUEST
                      forwards connections to the TCP port HOST of 127.0.0.1 to the port GUEST of
                      the guest, from when it has a lease. Implies --net. May be repeated.
  --disk FILE[:ro]    adds a disk, /dev/vda, /dev/vdb and so on, with the raw image FILE. The guest
                      writes to FILE unless :ro follows.
  --share TAG=DIR     adds a directory for the guest to mount: mount -t virtiofs TAG /mnt
                      An amd64 guest has room for five of --disk, --share and --net together, and
                      with five it has no power key: Ctrl-C kills it.
  --mem MIB           memory of the guest in MiB. Default: 512.
  --cpus N            number of CPUs of the guest. Default: 1.
  --timeout DURATION  kills the machine after a time such as 90s. Default: no limit.
  --boot-chart FILE   writes a chart of the boot to FILE when the machine has stopped: what the
                      kernel and each stage of init took, with its outcome and what it waited for,
                      and which stages were left out, and why. An SVG picture, or text for the
                      terminal, to standard output, if FILE is -. It is made of the messages that
                      KRUN_DEBUG=1 enables, which are not shown unless --env KRUN_DEBUG=1 is given.
  -v                  prints the kernel's messages and QEMU's command line.
  --help              prints a summary.
  --manual            prints this text.

Examples:
  krunhost                                        # a shell
  krunhost -- sh -c 'exit 7'; echo $?             # 7
  tar c /etc | krunhost -- tar tv | less
  krunhost --net -- sh -c 'ip addr; cat /etc/resolv.conf'
  docker save -o nginx.tar nginx && krunhost --image nginx.tar --publish 8080:80
  krunhost --net --boot-chart boot.svg -- true
  krunhost --disk root.ext4 --env KRUN_BLOCK_ROOT_DEVICE=/dev/vda -- cat /etc/os-release
  krunhost --root ./rootfs --cpus 2 --mem 1024 -- /usr/bin/env
  krunhost --root ./bundle/rootfs --config ./bundle/config.json
`
