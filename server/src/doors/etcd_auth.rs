//! `etcdserverpb.Auth`: answers that there is none yet, rather than nothing.

use quorate_proto::etcdserverpb as pb;
use quorate_proto::etcdserverpb::auth_server::{Auth, AuthServer};
use tonic::{Request, Response, Status};

use super::status::unimplemented;

struct AuthDoor;

/// The service.
pub(crate) fn service() -> AuthServer<impl Auth> {
    AuthServer::new(AuthDoor)
}

macro_rules! not_yet {
    ($($method:ident($request:ident) -> $response:ident, $name:literal;)*) => {
        #[tonic::async_trait]
        impl Auth for AuthDoor {
            $(
                async fn $method(
                    &self,
                    _request: Request<pb::$request>,
                ) -> Result<Response<pb::$response>, Status> {
                    Err(unimplemented(concat!("Auth.", $name)))
                }
            )*
        }
    };
}

not_yet! {
    auth_enable(AuthEnableRequest) -> AuthEnableResponse, "AuthEnable";
    auth_disable(AuthDisableRequest) -> AuthDisableResponse, "AuthDisable";
    auth_status(AuthStatusRequest) -> AuthStatusResponse, "AuthStatus";
    authenticate(AuthenticateRequest) -> AuthenticateResponse, "Authenticate";
    user_add(AuthUserAddRequest) -> AuthUserAddResponse, "UserAdd";
    user_get(AuthUserGetRequest) -> AuthUserGetResponse, "UserGet";
    user_list(AuthUserListRequest) -> AuthUserListResponse, "UserList";
    user_delete(AuthUserDeleteRequest) -> AuthUserDeleteResponse, "UserDelete";
    user_change_password(AuthUserChangePasswordRequest) -> AuthUserChangePasswordResponse,
        "UserChangePassword";
    user_grant_role(AuthUserGrantRoleRequest) -> AuthUserGrantRoleResponse, "UserGrantRole";
    user_revoke_role(AuthUserRevokeRoleRequest) -> AuthUserRevokeRoleResponse, "UserRevokeRole";
    role_add(AuthRoleAddRequest) -> AuthRoleAddResponse, "RoleAdd";
    role_get(AuthRoleGetRequest) -> AuthRoleGetResponse, "RoleGet";
    role_list(AuthRoleListRequest) -> AuthRoleListResponse, "RoleList";
    role_delete(AuthRoleDeleteRequest) -> AuthRoleDeleteResponse, "RoleDelete";
    role_grant_permission(AuthRoleGrantPermissionRequest) -> AuthRoleGrantPermissionResponse,
        "RoleGrantPermission";
    role_revoke_permission(AuthRoleRevokePermissionRequest) -> AuthRoleRevokePermissionResponse,
        "RoleRevokePermission";
}
