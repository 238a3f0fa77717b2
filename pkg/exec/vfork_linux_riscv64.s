#include "textflag.h"

#define SYS_clone	220
#define FLAGS	0x4111 // CLONE_VM | CLONE_VFORK | SIGCHLD

// func vfork(flags uintptr) int
//
// flags are added to CLONE_VM, CLONE_VFORK and SIGCHLD.
//
// The child runs on the parent's stack. The return address is in RA, of which the child has its own
// copy.
TEXT ·vfork(SB), NOSPLIT|NOFRAME, $0-16
	MOV	$SYS_clone, A7
	MOV	flags+0(FP), A0
	OR	$FLAGS, A0
	MOV	$0, A1
	MOV	$0, A2
	MOV	$0, A3
	MOV	$0, A4
	ECALL
	MOV	A0, ret+8(FP)
	RET
