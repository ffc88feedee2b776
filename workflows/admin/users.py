"""The admin's pages for users and groups, in the theme: Django's own are unreadable in its dark mode and on phones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.models import Group, User
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

if TYPE_CHECKING:
    # Unfold ships no type hints; its classes extend Django's and change their look only.
    UserPage = auth_admin.UserAdmin[User]
    GroupPage = auth_admin.GroupAdmin
else:
    from unfold.admin import ModelAdmin

    class UserPage(auth_admin.UserAdmin, ModelAdmin):
        """Django's page of users, in the theme."""

    class GroupPage(auth_admin.GroupAdmin, ModelAdmin):
        """Django's page of groups, in the theme."""


admin.site.unregister([User, Group])


@admin.register(User)
class UserAdmin(UserPage):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")


@admin.register(Group)
class GroupAdmin(GroupPage):
    pass
