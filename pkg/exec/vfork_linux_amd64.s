#include "textflag.h"

#define SYS_clone	56
#define FLAGS	0x4111 // CLONE_VM | CLONE_VFORK | SIGCHLD

// func vfork(flags uintptr) int
//
// flags are added to CLONE_VM, CLONE_VFORK and SIGCHLD.
//
// The child runs on the parent's stack and overwrites the part below the frame of vfork's caller. The
// return address is there, so the parent keeps it in a register, which the child has its own copy of.
TEXT ·vfork(SB), NOSPLIT|NOFRAME, $0-16
	MOVL	$SYS_clone, AX
	MOVQ	flags+0(FP), DI
	ORQ	$FLAGS, DI
	XORL	SI, SI
	XORL	DX, DX
	XORL	R10, R10
	XORL	R8, R8
	POPQ	R12
	SYSCALL
	PUSHQ	R12
	MOVQ	AX, ret+8(FP)
	RET
