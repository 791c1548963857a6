"""The twelve departments of the shop; each module holds the words of one."""

from rec_gym.datasets.corner_shop.departments.bathroom import BATHROOM
from rec_gym.datasets.corner_shop.departments.bedroom import BEDROOM
from rec_gym.datasets.corner_shop.departments.camping import CAMPING
from rec_gym.datasets.corner_shop.departments.clothing import CLOTHING
from rec_gym.datasets.corner_shop.departments.footwear import FOOTWEAR
from rec_gym.datasets.corner_shop.departments.furniture import FURNITURE
from rec_gym.datasets.corner_shop.departments.garden import GARDEN
from rec_gym.datasets.corner_shop.departments.kitchen import KITCHEN
from rec_gym.datasets.corner_shop.departments.pets import PETS
from rec_gym.datasets.corner_shop.departments.stationery import STATIONERY
from rec_gym.datasets.corner_shop.departments.toys import TOYS
from rec_gym.datasets.corner_shop.departments.travel import TRAVEL

# The order is part of the generator: item and request draws index into it.
DEPARTMENTS = (
    KITCHEN, TRAVEL, CLOTHING, FOOTWEAR, BEDROOM, FURNITURE, GARDEN, TOYS, CAMPING, STATIONERY, PETS, BATHROOM,
)  # fmt: skip
